"""The relay moves rows to the broker and keeps going, whatever the broker and the database do."""

from __future__ import annotations

import contextlib
import json
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.db import OperationalError, connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_outbox import bookkeeping, metrics, store
from django_outbox.choices import StatusChoice
from django_outbox.endurance import Endurance
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.models import Published
from django_outbox.relay import Relay, RelayOptions
from django_outbox.transport.memory import MemoryBroker, MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.django_db


class PatientStop(StopSignal):
    """Waits no real time: each wait runs what the test has next, and stops when there is nothing left."""

    def __init__(self) -> None:
        super().__init__()
        self.script: list[Callable[[], None]] = []
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if len(self.waits) > 10_000:
            raise AssertionError(f"the relay never came to rest: {self.waits[-10:]}")
        # An idle wait or a back-off: the moment at which the world may change.
        if seconds >= 0.5:
            if self.script:
                self.script.pop(0)()
            else:
                self.set()
        return self.is_set()


@pytest.fixture(autouse=True)
def no_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make back-offs pass at once."""

    def rest(self: Endurance, seconds: float) -> None:
        self._stop.wait(max(seconds, 0.5))

    monkeypatch.setattr(Endurance, "rest", rest)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def stop() -> PatientStop:
    return PatientStop()


def _relay(broker: MemoryBroker, stop: StopSignal, batch_size: int = 500) -> Relay:
    options = RelayOptions.from_settings(batch_size=batch_size)
    return Relay(MemoryTransport(broker), stop, Health("publisher", needs=("broker", "database")), options)


def _create(count: int, destination: str = "good", **values: Any) -> None:
    Published.objects.bulk_create(Published(destination=destination, body={"n": n}, **values) for n in range(count))


def _states() -> dict[str, int]:
    names = {choice.value: choice.name for choice in StatusChoice}
    counts: dict[str, int] = {}
    for status in Published.objects.values_list("status", flat=True):
        counts[names[status]] = counts.get(names[status], 0) + 1
    return counts


def test_rows_arrive_in_order_and_are_marked_as_sent(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(7)
    assert _relay(broker, stop, batch_size=3).run() == 0
    assert broker.bodies("good") == [json.dumps({"n": n}) for n in range(7)]
    assert _states() == {"SUCCEEDED": 7}


def test_a_message_goes_out_persistent_as_json_with_the_headers_of_its_row(
    broker: MemoryBroker, stop: PatientStop
) -> None:
    _create(1, headers={"tenant": "a", "count": 3, "nothing": None})
    _relay(broker, stop).run()
    headers = broker.messages[0].headers
    assert headers["persistent"] == "true"
    assert headers["content-type"] == "application/json"
    assert (headers["tenant"], headers["count"]) == ("a", "3")
    assert "nothing" not in headers
    assert headers["dop-msg-id"] == str(Published.objects.get().id)


def test_headers_of_the_row_win_over_ours(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(1, headers={"persistent": "false", "content-type": "text/plain"})
    _relay(broker, stop).run()
    assert broker.messages[0].headers["persistent"] == "false"
    assert broker.messages[0].headers["content-type"] == "text/plain"


def test_bodies_are_written_as_the_consumers_of_old_know_them(broker: MemoryBroker, stop: PatientStop) -> None:
    Published.objects.create(destination="good", body={"name": "\u00e9", "list": [1, 2]})
    _relay(broker, stop).run()
    assert broker.bodies("good") == ['{"name": "\\u00e9", "list": [1, 2]}']


def test_a_refused_row_is_charged_and_the_others_arrive(broker: MemoryBroker, stop: PatientStop) -> None:
    broker.refuses.add("bad")
    _create(2)
    _create(1, "bad")
    _create(2)
    _relay(broker, stop).run()
    assert len(broker.messages) == 4
    bad = Published.objects.get(destination="bad")
    assert (bad.status, bad.retry) == (StatusChoice.SCHEDULE, 3)
    assert bad.last_error == "refused by the broker in memory"
    assert bad.next_attempt_at is not None
    assert bad.next_attempt_at - timezone.now() > timedelta(seconds=200)


def test_a_row_that_costs_the_connection_is_cornered_and_the_others_arrive_unblamed(
    broker: MemoryBroker, stop: PatientStop
) -> None:
    broker.dies_of.add("deadly")
    _create(40)
    _create(1, "deadly")
    _create(40)
    _relay(broker, stop, batch_size=32).run()
    assert set(broker.bodies("good")) == {json.dumps({"n": n}) for n in range(40)}
    assert _states() == {"SUCCEEDED": 80, "SCHEDULE": 1}
    deadly = Published.objects.get(destination="deadly")
    assert deadly.retry == 3
    assert not Published.objects.exclude(destination="deadly").filter(retry__gt=0).exists()
    assert broker.connects < 30


def test_a_row_that_always_fails_is_parked_after_as_many_sends_as_allowed(
    broker: MemoryBroker, stop: PatientStop
) -> None:
    broker.dies_of.add("deadly")
    _create(1, "deadly")
    schedule = {"DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 5, "DEFAULT_PAUSE_FOR_RETRY": 0, "DEFAULT_WAIT_RETRY": 0}
    with override_settings(DJANGO_OUTBOX_PATTERN=schedule):
        _relay(broker, stop).run()
    row = Published.objects.get()
    assert (row.status, row.retry) == (StatusChoice.FAILED, 5)
    assert row.last_error == "the connection to the broker was lost"


def test_bad_rows_in_any_number_do_not_starve_the_good(broker: MemoryBroker, stop: PatientStop) -> None:
    broker.dies_of.add("deadly")
    _create(200, "deadly", retry=4)
    _create(10)
    relay = _relay(broker, stop)
    relay.connect()
    relay.publish_batch()
    assert len(broker.bodies("good")) == 10


def test_silence_about_one_row_is_charged_when_its_neighbours_are_confirmed(
    broker: MemoryBroker, stop: PatientStop
) -> None:
    broker.ignores.add("silent")
    _create(3)
    _create(1, "silent")
    relay = _relay(broker, stop)
    relay.connect()
    relay.publish_batch()
    silent = Published.objects.get(destination="silent")
    assert (silent.retry, silent.last_error) == (1, "the broker did not confirm in time")
    assert len(broker.bodies("good")) == 3


def test_a_silent_broker_costs_no_row_an_attempt(broker: MemoryBroker, stop: PatientStop) -> None:
    broker.ignores.add("good")
    _create(5)
    stop.script = [lambda: None] * 20 + [broker.ignores.clear]
    _relay(broker, stop).run()
    Published.objects.update(next_attempt_at=None)
    assert set(Published.objects.values_list("retry", flat=True)) == {0}
    assert "FAILED" not in _states()


def test_an_outage_costs_no_row_an_attempt_and_ends_by_itself(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(5)
    broker.is_down = True
    relay = _relay(broker, stop)

    def comes_back() -> None:
        assert relay.health.ready().reasons["broker"] == "The broker in memory is down."
        broker.is_down = False

    stop.script = [lambda: None, lambda: None, comes_back]
    assert relay.run() == 0
    assert _states() == {"SUCCEEDED": 5}
    assert set(Published.objects.values_list("retry", flat=True)) == {0}


def test_a_login_that_is_refused_later_is_waited_for(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(1)
    broker.refuses_login = True

    def password_is_back() -> None:
        broker.refuses_login = False

    stop.script = [lambda: None, password_is_back]
    assert _relay(broker, stop).run() == 0
    assert _states() == {"SUCCEEDED": 1}


def test_a_connection_that_breaks_in_the_middle_sends_the_rest_again(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(10)
    broker.lose_after = 4
    _relay(broker, stop).run()
    assert _states() == {"SUCCEEDED": 10}
    assert len(broker.messages) == 10, "what was confirmed is not sent again"
    assert set(Published.objects.values_list("retry", flat=True)) == {0}


@pytest.mark.parametrize("step", ["claim", "settle"])
def test_a_database_that_goes_away_is_ridden_out(
    broker: MemoryBroker, stop: PatientStop, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    _create(3)
    failures = iter([True, True, False])
    real = getattr(store, step)

    def flaky(*args: Any, **kwargs: Any) -> Any:
        if next(failures, False):
            raise OperationalError("server closed the connection unexpectedly")
        return real(*args, **kwargs)

    monkeypatch.setattr(store, step, flaky)
    stop.script = [lambda: None] * 4
    assert _relay(broker, stop).run() == 0
    assert _states() == {"SUCCEEDED": 3}
    assert len(broker.messages) == 3, "what the broker has is not sent again"


def test_a_stop_with_work_that_cannot_be_settled_says_so(
    broker: MemoryBroker, stop: PatientStop, monkeypatch: pytest.MonkeyPatch
) -> None:
    _create(3)

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OperationalError("the database is away")

    monkeypatch.setattr(store, "settle", broken)
    with override_settings(DJANGO_OUTBOX_PATTERN={"SHUTDOWN_TIMEOUT": 0.01}):
        assert _relay(broker, stop).run() == 2


def test_a_stop_takes_nothing_new(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(3)
    stop.set()
    assert _relay(broker, stop).run() == 0
    assert _states() == {"SCHEDULE": 3}
    assert broker.connects == 0


def test_a_row_with_headers_that_are_no_object_fails_alone(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(2)
    Published.objects.filter(body__n=0).update(headers=["not", "a", "dict"])
    _relay(broker, stop).run()
    odd = Published.objects.get(body__n=0)
    assert odd.retry == 3
    assert odd.last_error == "the row's headers are not a JSON object"
    assert Published.objects.get(body__n=1).status == StatusChoice.SUCCEEDED


def test_an_error_with_nul_in_it_can_be_stored(broker: MemoryBroker, stop: PatientStop) -> None:
    assert bookkeeping._storable("a\0b" + "c" * 9999) == "ab" + "c" * 1998


def test_two_relays_send_no_row_twice(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(50)
    relays = [_relay(broker, stop, batch_size=10) for _ in range(2)]
    for relay in relays:
        relay.connect()
    while sum(relay.publish_batch() for relay in relays):
        pass
    assert sorted(broker.bodies("good")) == sorted(json.dumps({"n": n}) for n in range(50))


def test_a_row_whose_claim_was_lost_is_left_to_its_new_holder(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(1)

    class SlowTransport(MemoryTransport):
        def send(self, *args: Any) -> Any:
            report = super().send(*args)
            Published.objects.update(claim_token=uuid.uuid4())
            return report

    options = RelayOptions.from_settings()
    relay = Relay(SlowTransport(broker), stop, Health("publisher"), options)
    relay.connect()
    relay.publish_batch()
    assert _states() == {"SCHEDULE": 1}


def test_only_a_batch_that_went_through_counts_as_the_loops_success(
    broker: MemoryBroker, stop: PatientStop, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauge = mock.Mock()
    monkeypatch.setattr(metrics, "LOOP_LAST_SUCCESS", gauge)
    broker.dies_of.add("deadly")
    _create(2, "deadly")
    relay = _relay(broker, stop)
    relay.connect()
    relay._publish_or_wait()
    assert not gauge.labels.called
    broker.dies_of.clear()
    relay.connect()
    relay._publish_or_wait()
    gauge.labels.assert_called_with(role="publisher")


@pytest.mark.parametrize(
    ("policy", "arrived", "states"),
    [
        ("block", [0], {"SUCCEEDED": 2, "FAILED": 1, "SCHEDULE": 2}),
        ("park", [0], {"SUCCEEDED": 2, "FAILED": 3}),
        ("skip", [0, 2, 3], {"SUCCEEDED": 4, "FAILED": 1}),
    ],
)
def test_what_a_failed_row_means_for_its_key_is_the_projects_choice(
    broker: MemoryBroker, stop: PatientStop, policy: str, arrived: list[int], states: dict[str, int]
) -> None:
    broker.refuses.add("bad")
    _create(4, key="a")
    Published.objects.filter(body__n=1).update(destination="bad")
    _create(1, "other", key="b")
    schedule = {"DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 3, "DEFAULT_PAUSE_FOR_RETRY": 0, "ORDER_ON_FAILURE": policy}
    stop.script = [lambda: None] * 4
    with override_settings(DJANGO_OUTBOX_PATTERN=schedule):
        _relay(broker, stop).run()
    assert broker.bodies("good") == [json.dumps({"n": n}) for n in arrived]
    assert len(broker.bodies("other")) == 1
    assert _states() == states


def test_a_key_that_is_held_up_goes_on_in_order_when_its_row_goes(broker: MemoryBroker, stop: PatientStop) -> None:
    broker.refuses.add("bad")
    _create(5, key="a")
    Published.objects.filter(body__n=1).update(destination="bad")

    def repaired() -> None:
        broker.refuses.clear()
        Published.objects.update(next_attempt_at=None)

    stop.script = [lambda: None] * 3 + [repaired] + [lambda: None] * 3
    _relay(broker, stop).run()
    assert [message.body for message in broker.messages] == [json.dumps({"n": n}) for n in range(5)]
    assert _states() == {"SUCCEEDED": 5}


def test_two_relays_keep_the_order_of_a_key_though_one_loses_its_connection(
    broker: MemoryBroker, stop: PatientStop
) -> None:
    for number in range(60):
        _create(1, key=f"key-{number % 3}", headers={"number": number})
    relays = [_relay(broker, stop, batch_size=7) for _ in range(2)]
    for turn in range(200):
        relay = relays[turn % 2]
        if turn % 5 == 1:
            broker.lose_after = 3
        if not relay.transport.is_connected():
            relay.connect()
        relay.publish_batch()
    assert _states() == {"SUCCEEDED": 60}
    for key in range(3):
        numbers = [int(m.headers["number"]) for m in broker.messages if m.headers["dop-msg-key"] == f"key-{key}"]
        assert list(dict.fromkeys(numbers)) == list(range(key, 60, 3))


@contextlib.contextmanager
def _statements() -> Iterator[list[str]]:
    seen: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        yield seen
    seen += [query["sql"].split()[0] for query in queries]


@pytest.mark.parametrize("rows", [1, 50, 500])
def test_a_batch_costs_the_same_number_of_statements_however_many_rows(
    broker: MemoryBroker, stop: PatientStop, rows: int
) -> None:
    _create(rows)
    relay = _relay(broker, stop)
    relay.connect()
    with _statements() as statements:
        assert relay.publish_batch() == rows
    # Without row locks: look, claim, read, settle; and a look for rows that failed before unless the batch was full.
    assert statements == ["SELECT", "UPDATE", "SELECT", "UPDATE"] + ["SELECT"] * (rows < 500)


def test_an_idle_poll_costs_one_statement(broker: MemoryBroker, stop: PatientStop) -> None:
    relay = _relay(broker, stop)
    relay.connect()
    relay._publish_or_wait()
    with _statements() as statements:
        relay._publish_or_wait()
    assert statements == ["SELECT"]


def test_looks_into_an_empty_outbox_follow_each_other_ever_more_slowly(broker: MemoryBroker, stop: PatientStop) -> None:
    relay = _relay(broker, stop)
    relay.connect()
    for _ in range(10):
        relay._publish_or_wait()
    assert stop.waits == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1]
    relay.wake()
    relay._publish_or_wait()
    assert stop.waits[-1] == 0.005


@pytest.mark.parametrize("source", ["notify", "poll"])
def test_what_made_a_resting_publisher_find_work_is_counted(
    broker: MemoryBroker, stop: PatientStop, source: str
) -> None:
    relay = _relay(broker, stop)
    relay.connect()
    counter = metrics.WAKEUPS.labels(source=source)
    before = counter._value.get()
    relay._publish_or_wait()
    _create(1)
    if source == "notify":
        relay.wake()
    relay._publish_or_wait()
    relay._publish_or_wait()
    assert counter._value.get() == before + 1


def test_a_row_written_without_headers_gets_an_id_when_it_is_sent(broker: MemoryBroker, stop: PatientStop) -> None:
    _create(2)
    Published.objects.update(headers={})
    _relay(broker, stop).run()
    ids = {message.headers["dop-msg-id"] for message in broker.messages}
    assert ids == {str(row) for row in Published.objects.values_list("id", flat=True)}
    assert {message.headers["dop-msg-destination"] for message in broker.messages} == {"good"}


def test_a_broker_that_reads_nothing_is_reported_and_costs_no_row_an_attempt(
    broker: MemoryBroker, stop: PatientStop
) -> None:
    _create(50)
    broker.is_blocked = True
    relay = _relay(broker, stop)
    blocked = metrics.BROKER_BLOCKED.labels(host=MemoryTransport.host)
    seen: list[tuple[float, bool]] = []

    def look_and_let_go_on() -> None:
        seen.append((blocked._value.get(), relay.health.is_good("broker")))
        broker.is_blocked = False

    waits = 0

    def wait(seconds: float) -> bool:
        nonlocal waits
        waits += seconds < 0.5
        if waits == 10:
            look_and_let_go_on()
        return PatientStop.wait(stop, seconds)

    stop.wait = wait  # type: ignore[method-assign]
    relay.run()
    assert seen == [(1, False)]
    assert blocked._value.get() == 0
    assert _states() == {"SUCCEEDED": 50}
    assert set(Published.objects.values_list("retry", flat=True)) == {0}
    assert len(broker.messages) == 50
