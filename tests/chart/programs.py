"""The programs of this tier: Helm as the rig builds it, promtool from Debian's package ``prometheus``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.rig.binaries import cache_key
from tests.rig.paths import cache_directory


def helm() -> Path:
    """Return Helm as the rig built it, else the machine's own."""
    built = cache_directory() / f"bin-{cache_key()}" / "helm"
    found = built if built.exists() else shutil.which("helm")
    return Path(found) if found else _missing("helm is missing: run `make cluster-up` or `python -m tests.rig build`")


def promtool() -> Path:
    """Return promtool."""
    found = shutil.which("promtool")
    return Path(found) if found else _missing("promtool is missing: run `make apt` (Debian's package `prometheus`)")


def run(*arguments: str | Path, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with ``text`` as its input, and return what it said, whether it succeeded or not."""
    command = [str(item) for item in arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)


def _missing(message: str) -> Path:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
