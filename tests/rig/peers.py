"""The library that ours takes the place of: releases of django-outbox-pattern, each in a venv of its own.

Tests run its real migrations, workers and declarations beside ours. A venv is made once, in the user's cache, with
exactly these packages from the package index.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import venv
from typing import TYPE_CHECKING

from tests.rig.binaries import exclusively
from tests.rig.paths import cache_directory
from tests.rig.process import run
from tests.rig.progress import step
from tests.rig.waiting import MissingProgramError, RigError

if TYPE_CHECKING:
    from pathlib import Path

FIRST, LAST = "0.9.0", "3.2.1"

_COMMON = ("stomp.py==8.2.0", "psycopg[binary]==3.3.9", "PyMySQL==1.2.4")
# 0.9.0 says Django >= 3.2; 4.2 is the oldest that this Python and this psycopg go with.
RELEASES = {
    FIRST: ("django-outbox-pattern==0.9.0", "Django==4.2.30", *_COMMON),
    LAST: ("django-outbox-pattern==3.2.1", "Django==5.2.19", "request-id-django-log==0.2.0", *_COMMON),
}
_PIP_SECONDS = 600


def peer_python(release: str) -> Path:
    """The interpreter of the venv that holds this release; the first call installs it.

    Raises MissingProgramError when the package index cannot be reached.
    """
    wanted = RELEASES[release]
    mark = hashlib.sha256("\n".join((*wanted, sys.version)).encode()).hexdigest()[:12]
    folder = cache_directory() / "peers" / f"{release}-{mark}"
    ready, python = folder / ".ready", folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(folder.parent / f"{release}.lock"):
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(folder, python, wanted)
            ready.touch()
    return python


def _install(folder: Path, python: Path, wanted: tuple[str, ...]) -> None:
    with step(f"installing {wanted[0]} beside ours"):
        venv.create(folder, with_pip=True)
        try:
            argv = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *wanted]
            run(argv, seconds=_PIP_SECONDS)
        except RigError as error:
            raise MissingProgramError(f"{wanted[0]} cannot be installed from the package index: {error}") from error
