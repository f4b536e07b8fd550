"""``outbox check CALLBACK`` says beforehand what ``subscribe`` would stumble over."""

from __future__ import annotations

import pytest
from django.test import override_settings

from tests.unit.library.commands.running import outbox


def takes_one(payload: object) -> None:
    """A callback."""


def takes_more(payload: object, more: str = "", *rest: object, **others: object) -> None:
    """A callback with room."""


def takes_none() -> None:
    """No callback."""


def takes_two(payload: object, connection: object) -> None:
    """No callback."""


@pytest.mark.parametrize("name", ["takes_one", "takes_more"])
def test_a_callback_that_can_work_is_confirmed(name: str) -> None:
    path = f"{__name__}.{name}"
    ended = outbox("check", path, "--json")
    assert (ended.code, ended.document) == (0, {"callback": path, "ok": True, "problem": None})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("takes_none", "Let it take exactly one argument"),
        ("takes_two", "missing a required argument: 'connection'"),
        ("takes_on", "Did you mean"),
        ("__name__", "not a function"),
    ],
)
def test_a_callback_that_cannot_is_refused_in_one_line(name: str, words: str) -> None:
    ended = outbox("check", f"{__name__}.{name}")
    assert (ended.code, ended.out) == (1, "")
    assert words in ended.err
    assert len(ended.err.splitlines()) == 1


def test_settings_that_cannot_work_are_told_first() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_GENERATE_HEADERS": "no.such.function"}):
        ended = outbox("check", f"{__name__}.takes_one", "--json")
    assert ended.code == 1
    assert "DEFAULT_GENERATE_HEADERS" in ended.document["problem"]
