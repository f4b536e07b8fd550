"""Acknowledgements that wait for each other, and those that must not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from django_outbox.acknowledging import Acknowledger
from django_outbox.link import Delivery
from django_outbox.processing import ACK, DUPLICATE, RECORDED, Ending
from tests.unit.library.consume.doubles import headers

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(eq=False)
class Wire:
    """A link that remembers which messages it acknowledged in one piece."""

    pieces: list[list[str]] = field(default_factory=list)
    is_connected: bool = True
    error: Exception | None = None
    failures: list[str] = field(default_factory=list)

    def ack_all(self, deliveries: Sequence[Delivery]) -> bool:
        if self.error is not None:
            raise self.error
        self.pieces += [[delivery.message_id for delivery in deliveries]] if self.is_connected else []
        return self.is_connected

    def fail(self, reason: str, _kind: str) -> None:
        self.failures.append(reason)


class Bench:
    """An acknowledger whose clock the test moves; a message is called by its number."""

    def __init__(self, prefetch: int = 100) -> None:
        self.now = 1000.0
        self.link = Wire()
        self.noted: list[str] = []
        self.acknowledger = Acknowledger(prefetch, self._note, clock=lambda: self.now)
        self._number = 0

    def end(self, ending: Ending = RECORDED, *, after: float = 0.001, count: int = 1, link: Wire | None = None) -> None:
        """Have so many messages end together, so many seconds after the last."""
        self.now += after
        ended = []
        for _ in range(count):
            self._number += 1
            given: Any = headers(message_id=str(self._number))
            at: Any = link or self.link
            ended.append((Delivery("{}", given, at), ending))
        self.acknowledger.add(ended)

    def _note(self, ended: Sequence[tuple[Delivery, Ending]]) -> None:
        self.noted += [delivery.message_id for delivery, _ in ended]


def test_a_message_that_ends_after_a_pause_is_acknowledged_at_once() -> None:
    bench = Bench()
    for _ in range(3):
        bench.end(after=0.02)
    assert bench.link.pieces == [["1"], ["2"], ["3"]]


def test_messages_that_end_quickly_go_with_the_next_that_does_not() -> None:
    bench = Bench()
    for ending in (RECORDED, DUPLICATE, RECORDED):
        bench.end(ending)
    assert (bench.link.pieces, bench.noted) == ([], [])
    bench.end(after=0.02)
    assert bench.link.pieces == [["1", "2", "3", "4"]]
    assert bench.noted == ["1", "2", "3", "4"]


@pytest.mark.parametrize(("prefetch", "most"), [(1, 1), (7, 1), (8, 2), (100, 25), (1000, 32)])
def test_no_more_wait_than_the_broker_can_spare(prefetch: int, most: int) -> None:
    bench = Bench(prefetch)
    for _ in range(most):
        assert bench.link.pieces == []
        bench.end()
    assert [len(piece) for piece in bench.link.pieces] == [most]


def test_many_at_a_time_wait_for_nobody() -> None:
    bench = Bench()
    bench.end(count=40)
    assert [len(piece) for piece in bench.link.pieces] == [40]


def test_a_message_that_the_inbox_does_not_know_waits_for_nobody_and_takes_the_others_along() -> None:
    bench = Bench()
    bench.end()
    bench.end(ACK)
    assert bench.link.pieces == [["1", "2"]]


def test_flushed_nothing_waits_any_more() -> None:
    bench = Bench()
    bench.end(count=2)
    bench.acknowledger.flush()
    bench.acknowledger.flush()
    assert bench.link.pieces == [["1", "2"]]


def test_each_message_is_acknowledged_on_its_own_link_and_counted_if_that_stands() -> None:
    bench, other = Bench(), Wire()
    bench.link.is_connected = False
    bench.end()
    bench.end(link=other)
    bench.acknowledger.flush()
    assert (bench.link.pieces, other.pieces, bench.noted) == ([], [["2"]], ["2"])


def test_a_link_that_cannot_say_it_is_given_up_and_the_others_are_served(caplog: pytest.LogCaptureFixture) -> None:
    bench, other = Bench(), Wire()
    bench.link.error = RuntimeError("a frame that cannot be written")
    bench.end()
    bench.end(link=other)
    bench.acknowledger.flush()
    assert bench.link.failures == ["messages could not be acknowledged: RuntimeError: a frame that cannot be written"]
    assert (other.pieces, bench.noted) == ([["2"]], ["2"])
    assert "1 messages could not be acknowledged" in caplog.text
