"""Installs the Debian packages of apt.txt, without letting any of their daemons start."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.paths import RIG_SOURCES
from tests.rig.progress import step
from tests.rig.waiting import MissingProgramError, RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLICY = Path("/usr/sbin/policy-rc.d")


def wanted_packages(text: str) -> list[str]:
    """The package names of an apt.txt: one a line, comments and blank lines left out."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def missing_packages() -> list[str]:
    """Those of apt.txt that dpkg does not have installed."""
    wanted = wanted_packages((RIG_SOURCES / "apt.txt").read_text())
    argv = ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted]
    try:
        listed = subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        raise MissingProgramError("this is no Debian: install the equivalents of tests/rig/apt.txt yourself") from None
    installed = {line.split()[0] for line in listed.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def install_packages() -> list[str]:
    """Install what is missing and return it. Raises RigError when that takes root and the caller is not."""
    missing = missing_packages()
    if not missing:
        return []
    if os.geteuid() != 0:
        raise MissingProgramError(f"Debian packages are missing; as root: apt-get install {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    with _no_daemons(), step(f"apt-get install of {len(missing)} packages"):
        for argv in (["apt-get", "update", "-q"], install):
            done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RigError(f"`{' '.join(argv)}` failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return missing


@contextlib.contextmanager
def _no_daemons() -> Iterator[None]:
    """Debian's own switch against daemons that start at installation; a policy of the machine's owner is left alone."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
