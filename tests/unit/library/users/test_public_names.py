"""Every public name has a docstring and is in the documentation."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import django_outbox
from django_outbox import testing
from tools.reference import api

DOCS = Path(__file__).parents[4] / "docs"
NAMES = [(module, name, public) for module, _, _ in api.MODULES for name, public in api.names_of(module)]


def _id(value: Any) -> str:
    return value if isinstance(value, str) else ""


def test_the_page_covers_both_lists_of_names() -> None:
    covered = {(module, name) for module, name, _ in NAMES}
    promised = {("django_outbox", name) for name in django_outbox.__all__}
    promised |= {("django_outbox.testing", name) for name in testing.__all__}
    assert promised - covered == set()


@pytest.mark.parametrize(("module", "name", "public"), NAMES, ids=_id)
def test_a_public_name_explains_itself(module: str, name: str, public: Any) -> None:
    text = inspect.getdoc(public) or ""
    assert text.endswith((".", "`")), f"{module}.{name} has no docstring"
    # What a dataclass without one gets is its signature.
    assert not text.startswith(f"{name}("), f"{module}.{name} has no docstring of its own"
    if inspect.isclass(public):
        assert public.__doc__ is not None, f"{module}.{name} has its parent's docstring"
        bare = [member for member, value in api.members_of(public) if not inspect.getdoc(value)]
        assert bare == [], f"of {module}.{name}"


@pytest.mark.parametrize(("module", "name", "public"), NAMES, ids=_id)
def test_a_public_name_is_in_the_documentation(module: str, name: str, public: Any) -> None:
    assert f"\n### {name}\n" in (DOCS / "api.md").read_text("utf-8"), "run `make generate`"


@pytest.mark.parametrize("name", testing.__all__)
def test_a_name_of_the_test_kit_is_where_people_read_about_it(name: str) -> None:
    assert name in (DOCS / "testing.md").read_text("utf-8")
