"""Within a lane nothing is sent before what is in front of it is confirmed."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from django_outbox.dialects import Dialect
from django_outbox.transport.base import Outgoing, Patience
from django_outbox.transport.lanes import Lanes
from django_outbox.transport.publishing import StompTransport

if TYPE_CHECKING:
    from collections.abc import Sequence


def _messages(*lanes: str | None) -> list[Outgoing]:
    return [Outgoing(uuid.uuid4(), "/queue/a", str(number), {}, lane) for number, lane in enumerate(lanes)]


def _bodies(messages: Sequence[Outgoing]) -> list[str]:
    return [message.body for message in messages]


def test_what_has_no_lane_goes_at_once_and_of_each_lane_the_first() -> None:
    lanes = Lanes(_messages(None, "a", "a", "b", None, "b"))
    assert _bodies(lanes.first) == ["0", "1", "3", "4"]
    assert lanes.any_waiting()


def test_a_confirm_lets_the_next_of_its_lane_go() -> None:
    messages = _messages("a", "a", "b", "a", "b")
    lanes = Lanes(messages)
    assert _bodies(lanes.after([messages[0].key])) == ["1"]
    assert _bodies(lanes.after([messages[2].key, messages[1].key])) == ["4", "3"]
    assert not lanes.any_waiting()


def test_a_confirm_of_what_has_no_lane_or_no_follower_lets_nobody_go() -> None:
    messages = _messages(None, "a")
    assert Lanes(messages).after([message.key for message in messages]) == []


class Answering:
    """A connection whose broker answers each SEND at once: refuses bodies in ``bad``, confirms all others."""

    def __init__(self, transport: StompTransport, bad: set[str]) -> None:
        self.transport = transport
        self.bad = bad
        self.sent: list[str] = []

    def send(self, destination: str, body: str, headers: dict[str, str]) -> None:
        self.sent.append(body)
        frame = _Frame({"receipt-id": headers["receipt"], "message": "no"})
        if body in self.bad:
            self.transport._book.on_error(frame)
        else:
            self.transport._book.on_receipt(frame)


class _Frame:
    body = ""

    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


class _Open:
    dialect = Dialect()

    def __init__(self, connection: Any) -> None:
        self.connection = connection


@pytest.mark.parametrize(("bad", "unsent"), [("none", ""), ("1", "2456"), ("4", "56")])
def test_behind_a_refusal_nothing_of_its_lane_is_sent(bad: str, unsent: str) -> None:
    transport = StompTransport()
    connection = Answering(transport, {bad})
    transport._open = _Open(connection)  # type: ignore[assignment]
    messages = _messages(None, "a", "a", "b", "a", "a", "a")
    report = transport.send(messages, Patience(deadline=time.monotonic() + 5))
    assert set(connection.sent) == set("0123456") - set(unsent)
    assert {message.body for message in messages if message.key in report.unsent} == set(unsent)
    assert report.unsettled is None
    assert [body for body in connection.sent if body in "12456"] == sorted(set("12456") - set(unsent))


def test_a_lane_ends_when_there_is_a_hurry() -> None:
    transport = StompTransport()
    connection = Answering(transport, set())
    transport._open = _Open(connection)  # type: ignore[assignment]
    messages = _messages("a", "a", None)
    report = transport.send(messages, Patience(time.monotonic() + 5, limit=lambda: time.monotonic() + 5))
    assert connection.sent == ["0", "2"]
    assert report.unsent == {messages[1].key}
