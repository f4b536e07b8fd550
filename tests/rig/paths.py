"""Where the rig keeps things: state of a run in the repository's `.rig/`, what is worth keeping in the user's cache."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
RIG_SOURCES = Path(__file__).resolve().parent


def state_directory() -> Path:
    """`.rig/` of the repository, or what RIG_STATE names; holds pid files, logs, certificates and data."""
    directory = Path(os.environ.get("RIG_STATE") or REPOSITORY / ".rig")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def cache_directory() -> Path:
    """The user's cache folder for built binaries and base images; deleting it costs time only."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = base / "django-outbox-operator"
    directory.mkdir(parents=True, exist_ok=True)
    return directory
