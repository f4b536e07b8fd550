"""Images without a registry: Debian bases by debootstrap, Dockerfiles by buildah, in a store of the rig's own.

A build is skipped when nothing that goes into it has changed: the Dockerfile, its arguments, its base, and the files
that its COPY lines take from the context.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rig.binaries import exclusively
from tests.rig.overlays import overlay_works
from tests.rig.paths import RIG_SOURCES, cache_directory, state_directory
from tests.rig.process import find_program, run
from tests.rig.progress import step
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Callable

BASE_IMAGE = "localhost/python:3.11"
SERVER_IMAGES = {"localhost/rabbitmq:3.10": "rabbitmq", "localhost/postgres:15": "postgres"}
_SUITE = "bookworm"
_BASE_PACKAGES = ("python3", "python3-venv", "ca-certificates")
_LEFT_OUT = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man")
_BUILD_SECONDS = 900


@dataclass(frozen=True)
class Build:
    """One image to build: `dockerfile` in `context`, with `arguments` for its ARG lines."""

    tag: str
    dockerfile: Path
    context: Path
    arguments: dict[str, str] = field(default_factory=dict)


def copied_sources(dockerfile: str, arguments: dict[str, str]) -> list[str]:
    """The patterns that a Dockerfile's COPY and ADD lines take from the context, arguments filled in."""
    values: dict[str, str] = {}
    found: list[str] = []
    for line in dockerfile.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word.upper() == "ARG":
            name, _, default = rest.strip().partition("=")
            values[name] = arguments.get(name, default)
        elif word.upper() in ("COPY", "ADD"):
            parts = rest.split()
            if not any(part.startswith("--from=") for part in parts):
                sources = [part for part in parts if not part.startswith("--")][:-1]
                found += [re.sub(r"\$\{?(\w+)\}?", lambda m: values.get(m[1], ""), source) for source in sources]
    return found


def inputs_digest(build: Build, base_id: str) -> str:
    """A hash over everything that the build reads."""
    text = build.dockerfile.read_text()
    digest = hashlib.sha256(json.dumps([text, sorted(build.arguments.items()), base_id]).encode())
    for pattern in copied_sources(text, build.arguments):
        for source in sorted(build.context.glob(pattern.strip("/"))):
            files = sorted(source.rglob("*")) if source.is_dir() else [source]
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    name, mode = file.relative_to(build.context), file.stat().st_mode & 0o777
                    digest.update(f"{name}\0{mode:o}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


class ImageStore:
    """buildah with its own storage in the user's cache, so that nobody else's images are touched."""

    def __init__(self) -> None:
        self._root = cache_directory() / "buildah"
        self._runroot = state_directory() / "buildah"
        self._record = cache_directory() / "images.json"
        self._lock = cache_directory() / "images.lock"

    @cached_property
    def _driver(self) -> str:
        return "overlay" if overlay_works(cache_directory()) else "vfs"

    def buildah(self, *arguments: str) -> str:
        """Run buildah on this store."""
        program = str(find_program("buildah", package="buildah"))
        argv = [program, "--root", str(self._root), "--runroot", str(self._runroot), "--storage-driver", self._driver]
        return run([*argv, *arguments], seconds=_BUILD_SECONDS)

    def image_id(self, tag: str) -> str | None:
        """The id of the image with this tag, 64 hexadecimal digits as in a pod's status; None when there is none."""
        listed: list[dict[str, Any]] = json.loads(self.buildah("images", "--json", "--no-trunc")) or []
        ids = (str(image["id"]) for image in listed if tag in (image.get("names") or []))
        return next((found.removeprefix("sha256:") for found in ids), None)

    def build(self, build: Build) -> str:
        """Build an image unless it is fresh; returns its id."""
        base = build.arguments.get("BASE")
        digest = inputs_digest(build, (base and self.image_id(base)) or "")
        return self._once(build.tag, digest, lambda: self._build(build))

    def _build(self, build: Build) -> None:
        argv = ["build", "--isolation", "chroot", "--format", "docker", "--layers=false", "--pull-never"]
        if not (build.context / ".dockerignore").exists():
            argv += ["--ignorefile", str(RIG_SOURCES / "images" / "ignore")]
        for name, value in build.arguments.items():
            argv += ["--build-arg", f"{name}={value}"]
        with step(f"buildah build of {build.tag}"):
            self.buildah(*argv, "-t", build.tag, "-f", str(build.dockerfile), str(build.context))
        self.buildah("rmi", "--prune")  # the image that had the tag before

    def save(self, tag: str, archive: Path) -> None:
        """Write the image as a docker-archive."""
        archive.unlink(missing_ok=True)
        self.buildah("push", "-q", tag, f"docker-archive:{archive}:{tag}")

    def base(self) -> str:
        """Make the Debian base with Python, unless it is there; returns its tag."""
        mirror = os.environ.get("DEBIAN_MIRROR", "")
        digest = hashlib.sha256(json.dumps([_SUITE, _BASE_PACKAGES]).encode()).hexdigest()
        archive = cache_directory() / f"base-{digest[:12]}.tar"

        def make() -> None:
            if not archive.exists():
                _debootstrap(archive, mirror)
            with step(f"import of {BASE_IMAGE}"):
                self._import(archive, BASE_IMAGE)

        self._once(BASE_IMAGE, digest, make)
        return BASE_IMAGE

    def server_images(self) -> list[str]:
        """Make the images of the servers that run in the cluster; returns their tags."""
        base = self.base()
        for tag, folder in SERVER_IMAGES.items():
            context = RIG_SOURCES / "images" / folder
            self.build(Build(tag, context / "Dockerfile", context, {"BASE": base}))
        return list(SERVER_IMAGES)

    def _import(self, archive: Path, tag: str) -> None:
        with tempfile.TemporaryDirectory(dir=archive.parent) as folder:
            (Path(folder) / "Dockerfile").write_text("FROM scratch\nADD rootfs.tar /\n")
            (Path(folder) / "rootfs.tar").hardlink_to(archive)
            self.buildah("build", "--isolation", "chroot", "--format", "docker", "-t", tag, folder)

    def _once(self, tag: str, digest: str, make: Callable[[], None]) -> str:
        with exclusively(self._lock):
            known = json.loads(self._record.read_text()) if self._record.exists() else {}
            image_id = self.image_id(tag)
            if image_id is None or known.get(tag) != digest:
                make()
                known[tag] = digest
                self._record.write_text(json.dumps(known))
                image_id = self.image_id(tag)
        if image_id is None:
            raise RigError(f"buildah has no {tag} after building it; look with `python -m tests.rig images`")
        return image_id


def _debootstrap(archive: Path, mirror: str) -> None:
    work = Path(tempfile.mkdtemp(prefix="base-tmp-", dir=archive.parent))
    root = work / "rootfs"
    program = str(find_program("debootstrap", package="debootstrap"))
    argv = [
        program,
        "--variant=minbase",
        f"--include={','.join(_BASE_PACKAGES)}",
        _SUITE,
        str(root),
        *filter(None, [mirror]),
    ]
    try:
        with step(f"debootstrap of {_SUITE} (once)"):
            run(argv, seconds=_BUILD_SECONDS)
            for folder in _LEFT_OUT:
                shutil.rmtree(root / folder, ignore_errors=True)
                (root / folder).mkdir()
            run(["tar", "-C", str(root), "--numeric-owner", "-cf", str(work / "rootfs.tar"), "."])
            (work / "rootfs.tar").rename(archive)
    finally:
        shutil.rmtree(work, ignore_errors=True)
