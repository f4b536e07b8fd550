"""The peer from the package index, in a virtual environment of its own under `.rig/peer`."""

from __future__ import annotations

import subprocess
import sys

from tests.chaos.stage import Library
from tests.rig.paths import state_directory

VERSION = "3.2.1"
# The versions that our own run uses, as far as the peer takes them.
_PACKAGES = (f"django-outbox-pattern=={VERSION}", "Django==5.2.19", "stomp.py==8.2.0", "psycopg[binary]==3.3.9")


def peer() -> Library:
    """Install it unless it is there, and return it."""
    folder = state_directory() / "peer"
    python, done = folder / "bin" / "python", folder / f"installed-{VERSION}"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", *_PACKAGES], check=True
        )
        done.touch()
    # Its own default prefetch: it handles one message at a time.
    return Library(f"django-outbox-pattern {VERSION}", str(python), has_probes=False, prefetch="1")
