"""Messages whose delay is over come back under a confirm, whatever happens to the connections meanwhile."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from django_outbox import returning, waiting
from django_outbox.dialects import ActiveMQ, RabbitMQ
from django_outbox.exceptions import BrokerUnavailable
from django_outbox.forwarding import Copy, Fate, Forwarder
from django_outbox.returning import Refusal, Returner
from django_outbox.subscription import Subscription
from django_outbox.testing import MemoryBroker, MemoryStompServer
from django_outbox.transport.base import Outgoing
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITING = "RETRY.desk.2s"
STORY = {"dop-attempts": "1", "dop-destination": "/topic/orders", "color": "blue"}


class Desk:
    """A returner on a broker in memory, with a subscriber's link that is as the test wants it."""

    def __init__(self, server: MemoryStompServer, **subscription: Any) -> None:
        self.server, self.broker = server, server.broker
        self.link: Any = SimpleNamespace(dialect=RabbitMQ(), generation=1, is_connected=lambda: True)
        self.subscription = Subscription(lambda _payload: None, "/topic/orders", "desk", **subscription)
        self.returner = Returner(self.subscription, self.forwarder(), link=lambda: self.link)

    def forwarder(self) -> Forwarder:
        return Forwarder(self.subscription, declare=lambda: None)

    def fail(self, seconds: float, body: str = "1") -> None:
        """Do what a subscriber does with a message that failed, on a connection of its own."""
        forwarder = self.forwarder()
        assert forwarder.to_later(Copy(body, STORY), seconds) is Fate.SENT
        forwarder.close()

    def put(self, body: str, **stamps: datetime) -> None:
        """Put a message into the shortest waiting queue that was stamped at another time."""
        self.put_into(1, body, **stamps)

    def put_into(self, seconds: float, body: str, **stamps: datetime) -> None:
        """Put a message into the waiting queue for so many seconds; without a stamp it is due."""
        destination, headers = RabbitMQ().delayed("desk", seconds)
        told = {"-".join(("dop", *name.split("_"))): moment.isoformat() for name, moment in stamps.items()}
        self.broker.publish(Outgoing(uuid.uuid4(), destination, body, {**headers, **STORY, **told}))

    def bodies(self, queue: str = "desk") -> list[str]:
        return [str(message.body) for message in self.broker.waiting(queue)]

    def held(self, queue: str = WAITING) -> int:
        return len(self.broker.queues[queue].held) if queue in self.broker.queues else 0

    def wait_for_bodies(self, *bodies: str) -> None:
        wait_until(f"{bodies} in the queue", lambda: self.bodies() == list(bodies), seconds=30, state=self.state)

    def wait_for_held(self, count: int, queue: str = WAITING) -> None:
        wait_until(f"{count} held of {queue}", lambda: self.held(queue) == count, seconds=30, state=self.state)

    def state(self) -> str:
        return str({name: (list(queue.ready), queue.held) for name, queue in self.broker.queues.items()})


@contextmanager
def working(desk: Desk) -> Iterator[Desk]:
    """Have the returner work in the block."""
    desk.returner.start()
    try:
        yield desk
    finally:
        desk.returner.stop()
        desk.returner.join(30)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look and try again often."""
    monkeypatch.setattr(returning, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(returning, "_LONGEST_BACKOFF_SECONDS", 0.05)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A returner that has not begun, and a queue to bring messages back to."""
    with MemoryStompServer(MemoryBroker()) as server:
        given = {**server.settings, "CONSUMER_RETRY_DELAYS": [1], "RECEIPT_TIMEOUT": 0.5}
        with override_settings(DJANGO_OUTBOX_PATTERN=given):
            server.broker.declare("desk", {})
            yield Desk(server)


def test_a_message_comes_back_when_it_is_due_as_the_failure_left_it(desk: Desk) -> None:
    began = datetime.now(UTC)
    with working(desk):
        desk.fail(0.3)
        desk.wait_for_bodies("1")
        assert (datetime.now(UTC) - began).total_seconds() >= 0.3
        desk.wait_for_held(0)
    (message,) = desk.broker.waiting("desk")
    assert message.headers == {**STORY, "persistent": "true", "destination": "/amq/queue/desk"}
    assert desk.bodies(WAITING) == []


def test_those_that_are_due_later_are_held_meanwhile_and_hold_nobody_up(desk: Desk) -> None:
    with working(desk):
        desk.put("later", due=datetime.now(UTC) + timedelta(seconds=250))
        desk.fail(0.1, "sooner")
        desk.wait_for_bodies("sooner")
        desk.wait_for_held(1)


def test_no_more_are_held_than_a_few_of_each_queue(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "HELD_AT_ONCE", 2)
    for number in range(5):
        desk.put(str(number), due=datetime.now(UTC) + timedelta(seconds=250))
    with working(desk):
        desk.wait_for_held(2)
        assert desk.bodies(WAITING) == ["2", "3", "4"]


def test_many_that_are_due_at_once_come_back_in_their_order(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(returning, "HELD_AT_ONCE", 7)
    for number in range(40):
        desk.put(str(number), due=datetime.now(UTC))
    with working(desk):
        desk.wait_for_bodies(*map(str, range(40)))


def test_what_is_held_at_the_stop_goes_back_to_where_it_waits_as_it_was(desk: Desk) -> None:
    with working(desk):
        desk.put("1", due=datetime.now(UTC) + timedelta(seconds=250))
        desk.wait_for_held(1)
    wait_until("it to be given back", lambda: desk.bodies(WAITING) == ["1"], seconds=30, state=desk.state)
    assert desk.broker.waiting(WAITING)[0].headers["dop-attempts"] == "1"


def test_what_was_held_on_a_connection_that_broke_is_held_on_the_next(desk: Desk) -> None:
    with working(desk):
        desk.put("1", due=datetime.now(UTC) + timedelta(seconds=250))
        desk.put("2", due=datetime.now(UTC) + timedelta(seconds=1))
        desk.wait_for_held(2)
        desk.server.cut()
        desk.wait_for_bodies("2")
        desk.wait_for_held(1)
    assert desk.broker.connects > 2


def test_a_message_is_not_acknowledged_before_the_broker_confirmed_its_copy(desk: Desk) -> None:
    desk.broker.ignores.add("/amq/queue/desk")
    with working(desk):
        desk.fail(0.1)
        desk.wait_for_held(1)
        wait_until("a vain try", lambda: desk.returner._room._heap and desk.returner._room._heap[0].failed, seconds=30)
        assert (desk.held(), desk.bodies()) == (1, [])
        desk.broker.ignores.clear()
        desk.wait_for_bodies("1")
        desk.wait_for_held(0)


@pytest.mark.parametrize("gone", ["none", "lost"])
def test_nothing_comes_back_while_nobody_is_subscribed_as_the_queue_may_be_gone(desk: Desk, gone: str) -> None:
    with working(desk):
        desk.put("0", due=datetime.now(UTC) + timedelta(seconds=250))
        desk.wait_for_held(1)
        there, away = desk.link, SimpleNamespace(dialect=RabbitMQ(), generation=2, is_connected=lambda: False)
        desk.link = None if gone == "none" else away
        desk.fail(0.1)
        desk.wait_for_held(2)
        # It comes in as the second, and is put off after that.
        wait_until("it to be put off", lambda: _newest(desk) > 1, seconds=30, state=desk.state)
        assert desk.bodies() == []
        desk.link = there
        desk.wait_for_bodies("1")


def _newest(desk: Desk) -> int:
    return max((held.serial for held in list(desk.returner._room._heap)), default=0)


def test_a_long_wait_goes_on_where_it_ended_in_part(desk: Desk) -> None:
    now = datetime.now(UTC)
    due = now + timedelta(hours=2)
    with working(desk):
        desk.put("1", due=due, waits_until=now)
        desk.wait_for_held(1, "RETRY.desk.300s")
        desk.wait_for_held(0)
        (taken,) = desk.broker.queues["RETRY.desk.300s"].held.values()
    told = taken.message.headers
    assert abs(datetime.fromisoformat(told["dop-due"]) - due) < timedelta(seconds=1)
    until = datetime.fromisoformat(told["dop-waits-until"])
    assert timedelta(0) <= until - now - timedelta(seconds=300) < timedelta(seconds=30)
    assert told["dop-attempts"] == "1"


def test_a_message_that_does_not_say_when_it_is_due_comes_back_at_once(desk: Desk) -> None:
    with working(desk):
        desk.put("1")
        desk.wait_for_bodies("1")


def test_a_waiting_queue_that_the_broker_refuses_keeps_nobody_from_the_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.broker.declare("RETRY.desk.15s", {})
    with working(desk):
        desk.fail(0.1)
        desk.wait_for_bodies("1")
    assert "The queue exists with other arguments" in caplog.text


def test_a_waiting_queue_that_does_not_answer_keeps_nobody_from_the_others(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.broker.ignores.add("/queue/RETRY.desk.2s")
    with working(desk):
        desk.put_into(15, "1")
        desk.wait_for_bodies("1")
    assert "did not confirm the subscription to /queue/RETRY.desk.2s" in caplog.text


def test_a_refused_queue_is_asked_for_again_soon(desk: Desk) -> None:
    desk.broker.declare(WAITING, {})
    with working(desk):
        wait_until("the others", lambda: "RETRY.desk.300s" in desk.broker.queues, seconds=30)
        desk.broker.delete(WAITING)
        wait_until("the queue", lambda: (found := desk.broker.queues.get(WAITING)) and found.consumers, seconds=30)


def test_a_queue_that_goes_on_being_refused_is_asked_for_more_and_more_seldom() -> None:
    refusal, pauses = Refusal(), []
    for _time in range(12):
        refusal = refusal.again(now=100.0)
        pauses.append(refusal.until - 100.0)
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]


def test_where_no_delays_are_set_there_is_nothing_to_watch_until_a_callback_asks(desk: Desk) -> None:
    with _no_delays(desk), working(desk):
        wait_until("it to have looked", lambda: desk.returner._looked, seconds=30)
        assert list(desk.broker.queues) == ["desk"]
        desk.fail(0.1)
        desk.returner.wake()
        desk.wait_for_bodies("1")


def test_where_no_delays_are_set_what_a_callback_asked_of_an_earlier_worker_comes_back(desk: Desk) -> None:
    with _no_delays(desk):
        desk.fail(0.1)
        with working(desk):
            desk.wait_for_bodies("1")


def _no_delays(desk: Desk) -> Any:
    return override_settings(DJANGO_OUTBOX_PATTERN={**desk.server.settings, "CONSUMER_RETRY_DELAYS": []})


@pytest.mark.parametrize("reason", ["the broker delays by itself", "the queue goes with its connection"])
def test_nothing_is_asked_of_the_broker_where_nothing_can_wait(
    desk: Desk, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []
    if reason == "the broker delays by itself":
        desk.link.dialect = ActiveMQ()
    else:
        passing = Subscription(print, "/topic/orders", "desk", queue_headers={"auto-delete": "true"})
        desk.returner = Returner(passing, desk.forwarder(), link=lambda: desk.link)
    monkeypatch.setattr(desk.returner._stop, "wait", looks.append)
    with working(desk):
        wait_until("a few looks", lambda: len(looks) > 3, seconds=30)
    assert desk.broker.connects == 0


def test_a_mistake_in_it_does_not_end_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bring_back, mistakes = desk.returner._bring_back, [RuntimeError("nobody foresaw this")]

    def once(*arguments: Any) -> None:
        if mistakes:
            raise mistakes.pop()
        bring_back(*arguments)

    monkeypatch.setattr(desk.returner, "_bring_back", once)
    with working(desk):
        desk.fail(0.1)
        desk.wait_for_bodies("1")
    assert "Retries are not being brought back" in caplog.text


def test_a_broker_that_is_away_is_waited_for(desk: Desk) -> None:
    desk.fail(0.1)
    desk.server.go_down()
    with working(desk):
        wait_until("a vain try", lambda: _connects(desk) is False, seconds=30)
        desk.server.come_back()
        desk.wait_for_bodies("1")


def _connects(desk: Desk) -> bool:
    try:
        desk.fail(0.1)
    except (BrokerUnavailable, AssertionError):
        return False
    return True


def test_the_net_catches_what_no_subscriber_of_ours_brings_back(desk: Desk) -> None:
    desk.fail(1)
    desk.broker.advance(waiting.NET_SECONDS)
    assert desk.bodies() == []
    desk.broker.advance(3)
    assert desk.bodies() == ["1"]
