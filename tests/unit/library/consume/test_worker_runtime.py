"""Stop signals, health, metrics, buffer and connections: the pieces both workers run on."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from django.db import InterfaceError
from django.db import connections as databases
from prometheus_client import CollectorRegistry

from django_outbox import connections, metrics
from django_outbox.buffer import DeliveryBuffer
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.link import Delivery, Link
from django_outbox.settlement import lag_seconds
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

# --- lifecycle


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_asks_for_the_stop_and_the_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignal() as stop:
        assert not stop.wait(0)
        os.kill(os.getpid(), number)
        assert stop.wait(5)
        assert stop.is_set()
        assert stop.signal_name == number.name
    assert signal.getsignal(number) is before


def test_outside_the_main_thread_no_handler_is_installed_and_set_stops() -> None:
    before = signal.getsignal(signal.SIGTERM)
    handlers: list[Any] = []
    stops: list[bool] = []

    def run() -> None:
        with StopSignal() as stop:
            handlers.append(signal.getsignal(signal.SIGTERM))
            stop.set()
            stops.append(stop.wait(5))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert handlers == [before]
    assert stops == [True]


def test_a_stop_wakes_whoever_waits_in_another_thread() -> None:
    stop = StopSignal()
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(stop.wait(30)))
    thread.start()
    stop.set()
    thread.join(10)
    assert woken == [True]


def test_a_stop_is_not_used_up_by_the_first_who_hears_it() -> None:
    # Another thread may have looked at the flag before the stop, and go to sleep only now.
    stop = StopSignal()
    thread = threading.Thread(target=stop.wait, args=(30,))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert stop._event.wait(0)


# --- health


def test_a_worker_is_live_while_its_loop_goes_round() -> None:
    health = Health("publisher", max_beat_age=10, now=100)
    assert health.live(109).ok
    verdict = health.live(111)
    assert not verdict.ok
    assert "11.0 s ago" in verdict.reasons["loop"]
    health.beat(111)
    assert health.live(112).ok


def test_a_worker_is_ready_once_everything_it_needs_was_reported() -> None:
    health = Health("subscription", needs=("broker", "subscription"), now=100)
    assert health.ready(100).reasons == {"broker": "not reported yet", "subscription": "not reported yet"}
    health.set_ready("broker", True)
    health.set_ready("subscription", False, "refused")
    assert health.ready(100).reasons == {"subscription": "refused"}
    health.set_ready("subscription", True)
    assert health.ready(100).ok


def test_trouble_with_the_broker_never_ends_a_life() -> None:
    health = Health("subscription", needs=("broker",), now=100)
    health.set_ready("broker", False, "down")
    assert health.live(100).ok
    assert not health.ready(100).ok


def test_a_hung_loop_is_not_ready() -> None:
    health = Health("subscription", max_beat_age=10, now=100)
    assert health.ready(100).ok
    assert not health.ready(200).ok


# --- metrics


@dataclass
class Row:
    """A row of the backlog."""

    destination: str
    pending: int = 0
    failed: int = 0
    oldest_pending: datetime | None = None
    blocked: int = 0


@dataclass
class Clock:
    """A clock that is set."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def _samples(collector: metrics.BacklogCollector) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["destination"]): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_the_backlog_is_what_the_database_says() -> None:
    added = datetime(2026, 1, 2, tzinfo=UTC)
    collector = metrics.BacklogCollector(lambda: [Row("/topic/backlog-a", 3, 1, added)])
    samples = _samples(collector)
    assert samples["outbox_pending_messages", "/topic/backlog-a"] == 3
    assert samples["outbox_failed_messages", "/topic/backlog-a"] == 1
    assert samples["outbox_oldest_pending_timestamp_seconds", "/topic/backlog-a"] == added.timestamp()


def test_a_destination_that_is_done_is_a_true_zero_without_an_oldest() -> None:
    clock = Clock()
    rows = [[Row("/topic/backlog-b", 3, 0, datetime.now(UTC))], []]
    collector = metrics.BacklogCollector(lambda: rows.pop(0), clock=clock)
    _samples(collector)
    clock.now += 6
    samples = _samples(collector)
    assert samples["outbox_pending_messages", "/topic/backlog-b"] == 0
    assert ("outbox_oldest_pending_timestamp_seconds", "/topic/backlog-b") not in samples


def test_a_database_that_cannot_be_asked_leaves_no_series_at_all() -> None:
    clock = Clock()
    answers: list[Any] = [[Row("/topic/backlog-c", 3)], RuntimeError("gone"), [Row("/topic/backlog-c", 4)]]

    def read() -> list[Row]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    collector = metrics.BacklogCollector(read, clock=clock)
    assert _samples(collector)
    clock.now += 6
    assert _samples(collector) == {}
    clock.now += 6
    assert _samples(collector)["outbox_pending_messages", "/topic/backlog-c"] == 4


def test_the_database_is_asked_at_most_every_five_seconds() -> None:
    clock = Clock()
    asked: list[float] = []

    def read() -> list[Row]:
        asked.append(clock.now)
        return []

    collector = metrics.BacklogCollector(read, clock=clock)
    for _ in range(12):
        list(collector.collect())
        clock.now += 1
    assert asked == [1000, 1005, 1010]


def test_a_scrape_does_not_queue_behind_one_that_the_database_keeps_waiting() -> None:
    begun, released = threading.Event(), threading.Event()

    def read() -> list[Row]:
        begun.set()
        released.wait(10)
        return [Row("/topic/backlog-d", 1)]

    collector = metrics.BacklogCollector(read)
    slow = threading.Thread(target=lambda: list(collector.collect()))
    slow.start()
    assert begun.wait(10)
    assert _samples(collector) == {}
    released.set()
    slow.join(10)
    assert _samples(collector)["outbox_pending_messages", "/topic/backlog-d"] == 1


def test_registering_the_backlog_does_not_ask_the_database() -> None:
    asked: list[int] = []

    def read() -> list[Row]:
        asked.append(1)
        return []

    metrics.export_backlog(read, CollectorRegistry())
    assert asked == []


# --- buffer


def _delivery(name: str) -> Delivery:
    return Delivery(name, {}, Link(lambda _delivery: None))


def _nothing() -> None:
    return None


def test_deliveries_come_out_in_the_order_they_came_in() -> None:
    buffer = DeliveryBuffer(10)
    for name in "abc":
        buffer.put(_delivery(name))
    taken = [buffer.take(_nothing) for _ in "abc"]
    assert [delivery.body for delivery in taken if delivery] == ["a", "b", "c"]


def test_a_closed_buffer_hands_out_nothing_and_takes_nothing() -> None:
    buffer = DeliveryBuffer(10)
    buffer.put(_delivery("a"))
    buffer.close()
    buffer.put(_delivery("b"))
    assert buffer.take(_nothing) is None
    assert len(buffer) == 0


def test_a_batch_is_what_waits_already_up_to_its_size() -> None:
    buffer = DeliveryBuffer(10)
    for name in "abcde":
        buffer.put(_delivery(name))
    taken = [buffer.take_many(3, 0.01, _nothing) for _ in range(2)]
    assert [[delivery.body for delivery in batch] for batch in taken] == [["a", "b", "c"], ["d", "e"]]


def test_a_batch_waits_for_others_no_longer_than_it_has_to() -> None:
    buffer, taken = DeliveryBuffer(10), []
    taking = threading.Thread(target=lambda: taken.append(buffer.take_many(2, 60, _nothing)))
    taking.start()
    buffer.put(_delivery("a"))
    buffer.put(_delivery("b"))
    taking.join(30)
    assert [delivery.body for delivery in taken[0]] == ["a", "b"]


def test_a_batch_that_is_still_filling_when_the_buffer_closes_is_not_begun() -> None:
    buffer, taken = DeliveryBuffer(10), []
    taking = threading.Thread(target=lambda: taken.append(buffer.take_many(2, 60, _nothing)))
    taking.start()
    buffer.put(_delivery("a"))
    wait_until("the first to be taken", lambda: len(buffer) == 0, seconds=30)
    buffer.close()
    taking.join(30)
    assert taken == [[]]


def test_a_full_buffer_holds_back_until_there_is_room() -> None:
    buffer = DeliveryBuffer(1)
    buffer.put(_delivery("a"))
    putting = threading.Thread(target=lambda: buffer.put(_delivery("b")))
    putting.start()
    assert len(buffer) == 1
    assert buffer.take(_nothing)
    putting.join(10)
    second = buffer.take(_nothing)
    assert second is not None
    assert second.body == "b"


def test_closing_lets_go_who_waits_for_room_and_who_waits_for_work() -> None:
    full, empty = DeliveryBuffer(1), DeliveryBuffer(1)
    full.put(_delivery("a"))
    threads = [
        threading.Thread(target=lambda: full.put(_delivery("b"))),
        threading.Thread(target=lambda: empty.take(_nothing)),
    ]
    for thread in threads:
        thread.start()
    full.close()
    empty.close()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_thread_without_work_is_told_that_it_is_idle() -> None:
    buffer = DeliveryBuffer(1)
    idle: list[int] = []

    def on_idle() -> None:
        idle.append(1)
        buffer.put(_delivery("a"))

    assert buffer.take(on_idle, idle_seconds=0.001)
    assert idle == [1]


# --- database connections


@pytest.mark.django_db(transaction=True)
def test_a_busy_thread_keeps_its_connection_and_an_idle_one_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    # SQLite in memory would lose its tables with the connection, so closing is only noted.
    connection = databases["default"]
    closed: list[int] = []
    monkeypatch.setattr(connection, "close", lambda: closed.append(1))
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    connection.ensure_connection()
    monkeypatch.setattr(connection, "close_at", 0.0)
    connections.refresh()
    assert closed == []
    connections.release()
    assert closed == [1]


@pytest.mark.django_db(transaction=True)
def test_a_connection_past_the_age_that_the_project_set_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = databases["default"]
    closed: list[int] = []
    monkeypatch.setattr(connection, "close", lambda: closed.append(1))
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 60)
    connection.ensure_connection()
    monkeypatch.setattr(connection, "close_at", 0.0)
    connections.refresh()
    assert closed == [1]


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_no_longer_works_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = databases["default"]
    closed: list[int] = []
    monkeypatch.setattr(connection, "close", lambda: closed.append(1))
    monkeypatch.setattr(connection, "is_usable", lambda: False)
    connection.ensure_connection()
    monkeypatch.setattr(connection, "errors_occurred", True)
    connections.refresh()
    assert closed == [1]


@pytest.mark.parametrize("deed", [connections.refresh, connections.release, connections.close_all])
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_fails_while_it_is_closed_does_not_end_the_thread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, deed: Callable[[], None]
) -> None:
    caplog.set_level("INFO")
    connection = databases["default"]
    connection.ensure_connection()
    monkeypatch.setattr(connection, "close_at", 0.0)
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 60)

    def fail() -> None:
        raise InterfaceError("the socket is gone")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "close", fail)
        deed()
    assert "'default' failed while it was closed: the socket is gone" in caplog.text


# --- lag


NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2026-05-01T11:59:58.500Z", 1.5),
        (str(NOW - timedelta(seconds=3)), 3.0),
        ((NOW - timedelta(seconds=3)).astimezone(timezone(timedelta(hours=5))).isoformat(), 3.0),
        ("2026-05-01T12:00:09Z", 0.0),
        ("2026-05-01T11:59:58", None),
        ("yesterday", None),
        ("2026-99-99T00:00:00Z", None),
        ("", None),
        (None, None),
    ],
)
def test_the_lag_is_known_when_the_message_says_when_it_was_sent(sent: Any, expected: float | None) -> None:
    assert lag_seconds(sent, NOW) == expected
