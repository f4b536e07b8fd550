"""When a message that failed is due, and who is held until then."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from django_outbox import waiting, waitingroom
from django_outbox.link import Delivery
from django_outbox.waitingroom import WaitingRoom

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_message_tells_when_it_is_due() -> None:
    headers = waiting.stamps(10.25, NOW)
    assert headers == {"dop-due": "2026-05-01T12:00:10.250+00:00"}
    assert waiting.seconds_to_hold(headers, NOW + timedelta(seconds=4)) == 6.25
    assert waiting.seconds_left(headers, NOW + timedelta(seconds=4)) == 6.25


def test_a_long_wait_is_held_for_a_part_of_it_at_a_time() -> None:
    headers = waiting.stamps(1800, NOW)
    assert headers["dop-waits-until"] == "2026-05-01T12:05:00.000+00:00"
    assert waiting.seconds_to_hold(headers, NOW + timedelta(seconds=100)) == 200
    assert waiting.seconds_left(headers, NOW + timedelta(seconds=300)) == 1500


def test_the_parts_of_a_long_wait_add_up_to_it() -> None:
    clock, left, parts = NOW, 1800.0, 0
    while left:
        headers = waiting.stamps(left, clock)
        clock += timedelta(seconds=waiting.seconds_to_hold(headers, clock))
        left, parts = waiting.seconds_left(headers, clock), parts + 1
    assert (clock - NOW, parts) == (timedelta(seconds=1800), 6)


def test_a_time_that_has_passed_is_now() -> None:
    headers = waiting.stamps(10, NOW)
    late = NOW + timedelta(hours=1)
    assert (waiting.seconds_to_hold(headers, late), waiting.seconds_left(headers, late)) == (0, 0)


@pytest.mark.parametrize("nonsense", ["", "soon", "10", "2026-05-01T12:00:10", "9" * 10_000, None])
def test_a_message_that_does_not_say_when_it_is_due_is_due(nonsense: Any) -> None:
    headers = {"dop-due": nonsense}
    assert (waiting.seconds_to_hold(headers, NOW), waiting.seconds_left(headers, NOW)) == (0, 0)
    assert waiting.seconds_to_hold({}, NOW) == 0


def test_a_clock_that_is_hours_ahead_makes_nobody_hold_a_message_for_hours() -> None:
    headers = waiting.stamps(10, NOW + timedelta(hours=3))
    assert waiting.seconds_to_hold(headers, NOW) == max(waiting.LENGTHS)


def test_the_clock_of_another_time_zone_tells_the_same() -> None:
    headers = waiting.stamps(10, NOW.astimezone(timezone(timedelta(hours=5))))
    assert waiting.seconds_left(headers, NOW) == 10


@pytest.mark.parametrize("seconds", [-1, 0, 1e15])
def test_any_number_of_seconds_can_be_told(seconds: float) -> None:
    headers = waiting.stamps(seconds, NOW)
    assert waiting.seconds_to_hold(headers, NOW) == min(max(0, seconds), 300)


def _delivery(name: str) -> Delivery:
    return Delivery("{}", {"message-id": name}, None)  # type: ignore[arg-type]


def _take(room: WaitingRoom, most: int = 10, wait: float = 0.0) -> list[str]:
    return [held.delivery.message_id for held in room.take_due(most, wait)]


def test_what_is_due_is_taken_in_order_and_no_more_than_asked_for() -> None:
    room = WaitingRoom()
    for name, seconds in (("third", -1.0), ("first", -3.0), ("later", 60.0), ("second", -2.0)):
        room.put(_delivery(name), seconds)
    assert _take(room, most=2) == ["first", "second"]
    assert _take(room) == ["third"]
    assert (_take(room), len(room)) == ([], 1)


def test_the_wait_ends_when_something_is_due() -> None:
    room = WaitingRoom()
    room.put(_delivery("soon"), 0.05)
    assert _take(room, wait=60) == ["soon"]


def test_the_wait_ends_when_something_comes_that_is_due_sooner() -> None:
    room = WaitingRoom()
    room.put(_delivery("later"), 60)
    timer = threading.Timer(0.05, room.put, args=(_delivery("now"), 0))
    timer.start()
    assert _take(room, wait=60) == ["now"]
    timer.join()


def test_a_nudge_ends_the_wait_also_one_that_has_not_begun() -> None:
    room = WaitingRoom()
    room.nudge()
    assert _take(room, wait=60) == []


def test_what_could_not_be_brought_back_waits_longer_each_time_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room = WaitingRoom()
    clock = [1000.0]
    monkeypatch.setattr(waitingroom.time, "monotonic", lambda: clock[0])
    room.put(_delivery("bad"), 0)
    (held,) = room.take_due(1, 0)
    room.put_again(held)
    clock[0] += 0.9
    assert _take(room) == []
    clock[0] += 0.2
    for name in ("good", "better"):
        room.put(_delivery(name), 0)
    (held,) = room.take_due(10, 0)
    assert held.delivery.message_id == "bad"
    room.put_again(held)
    assert _take(room) == ["good", "better"]
    clock[0] += 1.9
    assert _take(room) == []
    clock[0] += 0.2
    assert _take(room) == ["bad"]


def test_however_often_it_fails_it_is_tried_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    room = WaitingRoom()
    clock = [1000.0]
    monkeypatch.setattr(waitingroom.time, "monotonic", lambda: clock[0])
    room.put(_delivery("bad"), 0)
    for _ in range(2000):
        (held,) = room.take_due(1, 0)
        room.put_again(held)
        clock[0] += 60.5
    assert len(room) == 1
