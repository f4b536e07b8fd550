"""``outbox check CALLBACK`` says beforehand what ``subscribe`` would stumble over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import override_settings

from django_outbox import batch_callback
from tests.unit.library.commands.running import outbox

if TYPE_CHECKING:
    from django_outbox.payloads import Payload


def takes_one(payload: object) -> None:
    """A callback."""


def takes_more(payload: object, more: str = "", *rest: object, **others: object) -> None:
    """A callback with room."""


@batch_callback(size=50, wait=0.5)
def takes_many(payloads: list[Payload]) -> None:
    """A callback for batches."""


@batch_callback  # type: ignore[call-overload]
def takes_no_list(payloads: list[Payload], more: str) -> None:
    """No callback for batches."""


def takes_none() -> None:
    """No callback."""


def takes_two(payload: object, connection: object) -> None:
    """No callback."""


@pytest.mark.parametrize("name", ["takes_one", "takes_more"])
def test_a_callback_that_can_work_is_confirmed(name: str) -> None:
    path = f"{__name__}.{name}"
    ended = outbox("check", path, "--json")
    assert (ended.code, ended.document) == (0, {"callback": path, "ok": True, "problem": None, "batch": None})


def test_a_callback_that_takes_batches_is_told_as_such() -> None:
    path = f"{__name__}.takes_many"
    ended = outbox("check", path, "--json")
    assert (ended.code, ended.document["batch"]) == (0, {"size": 50, "wait": 0.5})
    words = outbox("check", path).out
    assert "50 messages at a time, of which the first waits 0.5 s for the others" in words


def test_a_batch_callback_that_cannot_take_a_list_is_told_so() -> None:
    assert "cannot be called with a list of payloads" in outbox("check", f"{__name__}.takes_no_list").err


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
