"""Other versions of what the library stands on, each set in a folder that goes before the venv on a process's path.

A set is a dependency group `versions-NAME` of pyproject.toml. Its packages are installed once, in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.rig.binaries import exclusively
from tests.rig.paths import REPOSITORY, cache_directory
from tests.rig.process import run
from tests.rig.progress import step
from tests.rig.waiting import RigError

_PREFIX = "versions-"
_PIP_SECONDS = 600
# Tells where each package is taken from, and in which version.
_LOOK = """
import sys
from importlib.metadata import distribution
for name in sys.argv[1:]:
    found = distribution(name)
    print(f"{name}=={found.version} {found.locate_file('')}")
"""


@dataclass(frozen=True)
class VersionSet:
    """The packages of one set, by exact versions."""

    name: str
    pins: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where they are, once `install` has been there."""
        mark = hashlib.sha256("\n".join((*self.pins, sys.version)).encode()).hexdigest()[:12]
        return cache_directory() / "versions" / f"{self.name}-{mark}"

    def environment(self) -> dict[str, str]:
        """The environment of a process that is to run on them, and of its children."""
        path = os.pathsep.join(filter(None, (str(self.folder), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path}

    def install(self) -> None:
        """Install them, the first time, and prove that a process takes them. Raises RigError."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusively(self.folder.parent / f"{self.name}.lock"):
            if not self.folder.exists():
                self._download()
        self._prove()

    def _download(self) -> None:
        work = Path(tempfile.mkdtemp(prefix="tmp-", dir=self.folder.parent))
        argv = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target", str(work)]
        try:
            with step(f"installing {', '.join(self.pins)}"):
                run([*argv, *self.pins], seconds=_PIP_SECONDS)
            work.rename(self.folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _prove(self) -> None:
        wanted = [pin.partition("[")[0] + pin.partition("]")[2] if "[" in pin else pin for pin in self.pins]
        names = [pin.partition("==")[0] for pin in wanted]
        found = run([sys.executable, "-c", _LOOK, *names], environment=self.environment()).splitlines()
        if found != [f"{pin} {self.folder}" for pin in wanted]:
            raise RigError(f"a process does not take {', '.join(wanted)} from {self.folder}, but {found}")


def version_sets() -> list[VersionSet]:
    """The sets that pyproject.toml names."""
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["dependency-groups"]
    return [
        VersionSet(name.removeprefix(_PREFIX), tuple(pins)) for name, pins in groups.items() if name.startswith(_PREFIX)
    ]
