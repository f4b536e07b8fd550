"""A Python as users have it: the wheel installed, what it needs, pytest, and no stubs for Django."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
# The editable installation, and what only this project's own checks use.
_NOT_THEIRS = ("django_outbox", "_django_outbox", "django-stubs", "django_stubs", "mypy", "hypothesis", "_hypothesis")
_PLUGINS_OF_OURS = ("pytest_asyncio", "pytest_randomly", "pytest_timeout")


@pytest.fixture(scope="session")
def users_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment into which the wheel is installed."""
    folder = tmp_path_factory.mktemp("user")
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")])
    site = next((folder / "env").glob("lib/python*/site-packages"))
    for installed in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not installed.name.startswith((*_NOT_THEIRS, *_PLUGINS_OF_OURS)) and installed.suffix != ".pth":
            (site / installed.name).symlink_to(installed)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    _run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(REPOSITORY)])
    wheel = next(folder.glob("*.whl"))
    _run([*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", str(site), str(wheel)])
    return folder / "env" / "bin" / "python"


def _run(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
