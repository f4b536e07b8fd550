"""Directories of one run each, so that runs side by side do not meet and a crashed run is swept by the next one."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from tests.rig.process import Daemon, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def run_directory(base: Path) -> Iterator[Path]:
    """A fresh directory below `base`, removed at the end with every program whose pid file is in it ended first.

    Directories of runs whose process is gone are swept too.
    """
    base.mkdir(parents=True, exist_ok=True)
    for other in base.glob("run-*"):
        if _abandoned(other):
            _sweep(other)
    directory = base / tempfile.mkdtemp(prefix="run-", dir=base)
    directory.chmod(0o755)
    # Another run may be sweeping right now: it finds all of the file, or none.
    (directory / "owner.new").write_text(f"{os.getpid()} {start_time(os.getpid())}")
    (directory / "owner.new").rename(directory / "owner")
    try:
        yield directory
    finally:
        _sweep(directory)


def _abandoned(directory: Path) -> bool:
    try:
        pid, _, started = (directory / "owner").read_text().partition(" ")
    except OSError:
        return False
    return start_time(int(pid)) != started


def _sweep(directory: Path) -> None:
    for pid_file in directory.glob("*/*.pid"):
        Daemon(pid_file.stem, [], pid_file.parent).stop(seconds=10)
    shutil.rmtree(directory, ignore_errors=True)
