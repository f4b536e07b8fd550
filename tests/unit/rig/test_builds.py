"""What decides whether the rig builds something anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rig import binaries
from tests.rig.images import Build, copied_sources, inputs_digest
from tests.rig.packages import wanted_packages
from tests.rig.waiting import RigError
from tests.rig.wheels import pins

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = """
ARG BASE=docker.io/library/python:3.13-slim
FROM ${BASE} AS build
ARG WHEELS=wheels
COPY pyproject.toml ${WHEELS}* \\
     /wheels/
COPY --chown=1:1 app /app
FROM ${BASE}
COPY --from=build /opt/venv /opt/venv
"""


@pytest.fixture
def build(tmp_path: Path) -> Build:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "pyproject.toml").write_text("[project]")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("print(1)")
    (tmp_path / "notes.txt").write_text("not copied")
    return Build("localhost/x:1", tmp_path / "Dockerfile", tmp_path, {"BASE": "localhost/base:1"})


def test_copied_sources_are_those_of_the_context_with_arguments_filled_in() -> None:
    assert copied_sources(DOCKERFILE, {"WHEELS": "wheels/x"}) == ["pyproject.toml", "wheels/x*", "app"]


def test_an_unchanged_context_has_the_same_digest(build: Build) -> None:
    assert inputs_digest(build, "base") == inputs_digest(build, "base")


def test_a_file_that_is_not_copied_does_not_change_the_digest(build: Build) -> None:
    before = inputs_digest(build, "base")
    (build.context / "notes.txt").write_text("changed")
    assert inputs_digest(build, "base") == before


def test_compiled_python_does_not_change_the_digest(build: Build) -> None:
    before = inputs_digest(build, "base")
    (build.context / "app" / "__pycache__").mkdir()
    (build.context / "app" / "__pycache__" / "main.pyc").write_bytes(b"1")
    assert inputs_digest(build, "base") == before


def test_a_changed_file_below_a_copied_folder_changes_the_digest(build: Build) -> None:
    before = inputs_digest(build, "base")
    (build.context / "app" / "main.py").write_text("print(2)")
    assert inputs_digest(build, "base") != before


def test_a_new_base_changes_the_digest(build: Build) -> None:
    assert inputs_digest(build, "base") != inputs_digest(build, "another")


def test_a_module_version_is_read_from_go_mod() -> None:
    text = "require (\n\thelm.sh/helm/v3 v3.19.5\n\tk8s.io/kubernetes v1.34.4 // indirect\n)\n"
    assert binaries.module_version(text, "k8s.io/kubernetes") == "v1.34.4"


def test_a_module_that_go_mod_does_not_require_is_an_error() -> None:
    with pytest.raises(RigError, match=r"does not require k8s\.io/x"):
        binaries.module_version("require k8s.io/xy v1.0.0\n", "k8s.io/x")


def test_package_lists_name_a_proof_for_each_package_and_leave_out_comments() -> None:
    assert wanted_packages("# all of it\nrunc runc\n\nbuildah buildah # images\n") == {
        "runc": "runc",
        "buildah": "buildah",
    }


def test_pins_lose_their_extras_because_a_constraint_has_none() -> None:
    assert pins({"dependency-groups": {"runtime": ["psycopg[binary]==3.3.9", "Django==5.2.19"]}}) == [
        "psycopg==3.3.9",
        "Django==5.2.19",
    ]
