"""Wheels for an image's build, made on this machine, so that the build itself needs no package index.

Third-party wheels are kept in the user's cache by what was asked for; the project's own wheel by its sources.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import tomllib
from importlib.util import find_spec
from pathlib import Path

from tests.rig.binaries import exclusively
from tests.rig.paths import REPOSITORY, cache_directory
from tests.rig.process import run
from tests.rig.progress import step

IMAGE_PYTHON = (3, 11)  # of Debian 12, the rig's base image
# .gitignore too: it says what the build back end leaves out.
_PROJECT_FILES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")
_PIP_SECONDS = 600


def wheelhouse(context: Path, dockerfile: Path) -> str | None:
    """Fill `wheels/<name>` in a build context with all that the image installs; returns that folder, relative.

    What it installs is in a requirements.txt beside the Dockerfile, else it is the project with all its extras. None
    when this Python is not the image's: wheels of one do not fit the other, and the image's build asks the index.
    """
    if sys.version_info[:2] != IMAGE_PYTHON:
        return None
    requirements = dockerfile.parent / "requirements.txt"
    wanted = requirements.read_text() if requirements.exists() else _project_with_extras()
    relative = f"wheels/{dockerfile.resolve().parent.name}"
    with exclusively(cache_directory() / "wheels.lock"):
        own = _project_wheel()
        _mirror([own, *_third_party(wanted, own)], context / relative)
    return relative


def _project_metadata() -> dict[str, object]:
    document: dict[str, object] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    return document


def _project_with_extras() -> str:
    project = _project_metadata()["project"]
    assert isinstance(project, dict)
    return f"{project['name']}[{','.join(project.get('optional-dependencies', {}))}]\n"


def pins(document: dict[str, object]) -> list[str]:
    """The exact versions of pyproject's `runtime` group, extras stripped: a constraint has none."""
    groups = document.get("dependency-groups", {})
    assert isinstance(groups, dict)
    lines = [line for line in groups.get("runtime", []) if isinstance(line, str)]
    return [line.partition("[")[0] + line.partition("]")[2] if "[" in line else line for line in lines]


def _project_wheel() -> Path:
    digest = hashlib.sha256()
    for file in [REPOSITORY / name for name in _PROJECT_FILES] + _package_files():
        digest.update(f"{file.relative_to(REPOSITORY)}\0".encode() + file.read_bytes())
    folder = cache_directory() / "project-wheel" / digest.hexdigest()[:16]
    if not folder.exists():
        shutil.rmtree(folder.parent, ignore_errors=True)  # the wheels of older sources are of no use
        with step("wheel of the project"):
            isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
            _pip_wheel(folder, ["--no-deps", *isolation, str(REPOSITORY)])
    return next(folder.glob("*.whl"))


def _package_files() -> list[Path]:
    folders = ("django_outbox", "django_outbox_pattern", "operator/outbox_operator")
    files = (file for folder in folders for file in (REPOSITORY / folder).rglob("*"))
    return sorted(file for file in files if file.is_file() and "__pycache__" not in file.parts)


def _third_party(wanted: str, own: Path) -> list[Path]:
    document = _project_metadata()
    constraints = pins(document)
    project = json.dumps(document["project"], sort_keys=True)
    key = hashlib.sha256(json.dumps([wanted, constraints, project, sys.version_info[:2]]).encode()).hexdigest()[:16]
    folder = cache_directory() / "wheels" / key
    if not folder.exists():
        with step("wheels of what the image installs (once)"), tempfile.TemporaryDirectory() as work:
            (Path(work) / "requirements.txt").write_text(wanted)
            (Path(work) / "constraints.txt").write_text("\n".join(constraints))
            files = ["-r", f"{work}/requirements.txt", "-c", f"{work}/constraints.txt"]
            _pip_wheel(folder, ["--find-links", str(own.parent), *files])
    return [wheel for wheel in folder.glob("*.whl") if wheel.name != own.name]


def _pip_wheel(folder: Path, arguments: list[str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder.parent))
    run([sys.executable, "-m", "pip", "wheel", "-q", "-w", str(work), *arguments], seconds=_PIP_SECONDS)
    work.chmod(0o755)
    work.rename(folder)


def _mirror(wheels: list[Path], folder: Path) -> None:
    """Make the folder hold exactly these files; untouched ones keep their times."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {wheel.name for wheel in wheels}
    for other in folder.iterdir():
        if other.name not in names:
            other.unlink()
    for wheel in wheels:
        copy = folder / wheel.name
        if not copy.exists() or copy.read_bytes() != wheel.read_bytes():
            shutil.copyfile(wheel, copy)
