"""Installs the Debian packages of apt.txt, without letting any of their daemons start."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.rig.paths import RIG_SOURCES
from tests.rig.progress import step
from tests.rig.waiting import MissingProgramError, RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLICY = Path("/usr/sbin/policy-rc.d")


def wanted_packages(text: str) -> dict[str, str]:
    """Each package of an apt.txt with the file that shows it is there; comments and blank lines are left out."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return {fields[0]: fields[1] for fields in lines if fields}


def missing_packages() -> list[str]:
    """Those of apt.txt whose file is not on this machine, from whatever package it may come."""
    return [
        name for name, proof in wanted_packages((RIG_SOURCES / "apt.txt").read_text()).items() if not _present(proof)
    ]


def _present(proof: str) -> bool:
    if proof.startswith("/"):
        return any(Path("/").glob(proof.lstrip("/")))
    return shutil.which(proof, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin") is not None


def install_packages() -> list[str]:
    """Install what is missing and return it. Raises RigError when that takes root and the caller is not."""
    missing = missing_packages()
    if not missing:
        return []
    if os.geteuid() != 0:
        raise MissingProgramError(f"Debian packages are missing; as root: apt-get install {' '.join(missing)}")
    if shutil.which("apt-get") is None:
        raise MissingProgramError(f"this is no Debian; install what these packages of it bring: {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "--no-remove", *missing]
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
