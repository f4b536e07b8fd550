"""Delayed retries and dead letters with their story: on a real broker, with nobody sleeping."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from django_outbox import waiting
from django_outbox.forwarding import Copy, Fate, Forwarder
from django_outbox.subscription import Subscription
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscriber, Subscribers

QUORUM = {"durable": "true", "auto-delete": "false", "prefetch-count": "1", "x-queue-type": "quorum"}
SHORT = [0.2, 0.4]


def _letter(broker: Broker, queue: str, subscriber: Subscriber) -> dict[str, Any]:
    """The only dead letter of a queue, and what is told on it."""
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    return broker.server.get_messages(f"DLQ.{queue}")[0]


def _retries(subscriber: Subscriber, queue: str) -> float:
    return subscriber.metric("outbox_retried_messages_total", queue=queue) or 0


@pytest.mark.parametrize("headers", [{}, {"DEFAULT_STOMP_QUEUE_HEADERS": QUORUM}], ids=["classic", "quorum"])
def test_a_message_that_fails_comes_again_until_it_takes_effect(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, headers: dict[str, Any]
) -> None:
    subscriber = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=SHORT, **headers)
    subscriber.wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert database.effects(f"{queue} at 3 from /topic/{queue}") == 1
    subscriber.wait_for("the end", lambda: subscriber.metric("outbox_received_messages_total", result="ack") == 1)
    assert subscriber.metric("outbox_retried_messages_total", queue=queue) == 2
    assert subscriber.metric("outbox_dead_lettered_messages_total", queue=queue) == 0
    assert subscriber.metric("outbox_redelivered_messages_total", queue=queue) == 0
    assert subscriber.stop() == 0
    assert database.inbox(msg_id) == [queue]
    waiting = [name for name in broker.server.api.queues() if queue in name]
    assert {broker.depth(name) for name in waiting} == {0}


def test_a_message_that_fails_each_time_becomes_a_dead_letter_that_tells_its_story(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    began = dt.datetime.now(dt.UTC)
    subscriber = subscribers.start("raises", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=SHORT).wait_ready()
    broker.send_raw(f"/topic/{queue}", "not json at all", {"dop-msg-id": queue, "color": "blue", "priority": "4"})
    letter = _letter(broker, queue, subscriber)
    told = letter["properties"]["headers"]
    assert letter["payload"] == "not json at all"
    assert letter["properties"]["delivery_mode"] == 2
    assert (told["dop-msg-id"], told["color"], letter["properties"]["priority"]) == (queue, "blue", 4)
    assert told["dop-error"] == "ValueError: cannot handle not json at all"
    assert told["dop-error-fingerprint"] == "ValueError@tests.django_project.callbacks.raises"
    assert told["dop-attempts"] == "3"
    assert (told["dop-queue"], told["dop-destination"]) == (queue, f"/topic/{queue}")
    assert began <= dt.datetime.fromisoformat(told["dop-failed-at"]) <= dt.datetime.now(dt.UTC)
    assert [name for name in told if name.startswith("x-")] == []
    assert subscriber.metric("outbox_retried_messages_total", queue=queue) == 2
    subscriber.wait_for("the count", lambda: subscriber.metric("outbox_dead_lettered_messages_total", queue=queue) == 1)
    assert subscriber.stop() == 0
    assert broker.depth(queue) == 0


def test_a_message_waits_for_its_retry_on_the_broker_while_no_subscriber_runs(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    first = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[60, 0.2]).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    first.wait_for("the failure", lambda: _retries(first, queue) == 1)
    first.kill()
    broker.wait_for_depth(f"RETRY.{queue}.60s", 1)
    broker.server.restart()
    assert (broker.depth(f"RETRY.{queue}.60s"), broker.depth(queue)) == (1, 0)
    second = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[60, 0.2]).wait_ready()
    second.wait_for("the third try", lambda: database.effects(f"{queue} at 3 from /topic/{queue}") == 1, seconds=120)


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2])
@pytest.mark.parametrize("headers", [{}, {"DEFAULT_STOMP_QUEUE_HEADERS": QUORUM}], ids=["classic", "quorum"])
def test_no_retry_is_lost_when_the_broker_is_killed_around_the_time_that_it_is_due(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, headers: dict[str, Any], moment: float
) -> None:
    subscriber = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=SHORT, **headers)
    subscriber.wait_ready()
    broker.server.settle(queue, *(f"RETRY.{queue}.{length}s" for length in waiting.LENGTHS))
    sent = [f"{queue}-{number}" for number in range(20)]
    for key in sent:
        broker.send(f"/topic/{queue}", {"key": key})
    subscriber.wait_for("retries", lambda: _retries(subscriber, queue) >= 10)
    # Not to wait for something: the moment of the fault is what is tried.
    time.sleep(moment)
    broker.server.kill()
    broker.server.start()
    subscriber.wait_for("each effect", lambda: [database.effects(key) for key in sent] == [1] * 20, seconds=90)


def test_a_worker_that_is_killed_while_it_holds_a_message_loses_no_try(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    first = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[15, 15]).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    first.wait_for("a try", lambda: _retries(first, queue) == 1)
    wait_until("it to be held", lambda: broker.depth(f"RETRY.{queue}.15s") == 0, seconds=30)
    first.kill()
    broker.wait_for_depth(f"RETRY.{queue}.15s", 1)
    second = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[0.2, 0.2]).wait_ready()
    second.wait_for("the third try", lambda: database.effects(f"{queue} at 3 from /topic/{queue}") == 1)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_retry_that_no_subscriber_of_ours_brings_back_drops_out_by_itself(
    broker: Broker, queue: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "NET_SECONDS", 1)
    server = broker.server
    server.declare_queue(queue, arguments={"x-queue-type": kind})
    reached = {
        "DEFAULT_STOMP_HOST_AND_PORTS": [(server.host, server.stomp_port)],
        "DEFAULT_STOMP_USERNAME": server.username,
        "DEFAULT_STOMP_PASSCODE": server.passcode,
    }
    subscription = Subscription(print, f"/topic/{queue}", queue, queue_headers={"x-queue-type": kind})
    forwarder = Forwarder(subscription, declare=lambda: None)
    with override_settings(DJANGO_OUTBOX_PATTERN=reached):
        assert forwarder.to_later(Copy("{}", {"dop-attempts": "1", "persistent": "true"}), 0.1) is Fate.SENT
        assert (broker.depth(queue), broker.depth(f"RETRY.{queue}.2s")) == (0, 1)
        broker.wait_for_depth(queue, 1)
        forwarder.close()


def test_others_are_handled_while_a_message_waits(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("raises_on_bad", f"/topic/{queue}", "--prefetch=1", CONSUMER_RETRY_DELAYS=[60])
    subscriber.wait_ready()
    broker.send(f"/topic/{queue}", {"key": "bad"})
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert subscriber.metric("outbox_retried_messages_total", queue=queue) == 1
    assert subscriber.stop() == 0
    broker.wait_for_depth(f"RETRY.{queue}.60s", 1, subscriber)
    assert broker.server.get_messages(f"RETRY.{queue}.60s")[0]["properties"]["headers"]["dop-attempts"] == "1"


def test_a_binary_message_stays_what_it_is_through_retry_and_dead_letter(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    subscriber = subscribers.start("raises", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[0.1]).wait_ready()
    broker.send_raw(f"/topic/{queue}", b"\xff\x00binary \xc3\xb6", {"dop-msg-id": queue})
    letter = _letter(broker, queue, subscriber)
    assert letter["payload_encoding"] == "base64"
    assert letter["payload"] == "/wBiaW5hcnkgw7Y="


@pytest.mark.parametrize(
    ("callback", "error"),
    [("rejects", "Reject: the customer is gone"), ("nacks", "refused by the callback")],
)
def test_a_message_that_is_refused_is_a_dead_letter_at_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, callback: str, error: str
) -> None:
    subscriber = subscribers.start(callback, f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[60]).wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    told = _letter(broker, queue, subscriber)["properties"]["headers"]
    assert (told["dop-error"], told["dop-attempts"]) == (error, "1")
    subscriber.wait_for("the count", lambda: subscriber.metric("outbox_received_messages_total", result="nack") == 1)
    assert subscriber.metric("outbox_retried_messages_total", queue=queue) == 0
    assert database.inbox(msg_id) == []


@pytest.mark.parametrize("how", ["raise", "call"])
def test_a_callback_can_ask_for_another_try_without_any_delays_set(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, how: str
) -> None:
    subscriber = subscribers.start("asks_once", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[]).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue, "how": how})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert broker.depth(f"RETRY.{queue}.2s") == 0
    assert subscriber.metric("outbox_retried_messages_total", queue=queue) == 1


def test_a_copy_and_its_original_take_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    """What a subscriber leaves that dies between the broker's confirm and its own acknowledgement."""
    subscriber = subscribers.start("fails_twice", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=SHORT).wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    broker.send(f"/topic/{queue}", {"key": queue}, dop_msg_id=msg_id, dop_attempts="1")
    subscriber.wait_for(
        "the duplicate", lambda: subscriber.metric("outbox_received_messages_total", result="duplicate") == 1
    )
    assert database.effects(queue) == 1
    assert database.inbox(msg_id) == [queue]


def test_a_retry_that_the_broker_refuses_leaves_the_message_in_the_dead_letters(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    broker.server.declare_queue(f"RETRY.{queue}.60s")
    subscriber = subscribers.start("raises", f"/topic/{queue}", CONSUMER_RETRY_DELAYS=[60]).wait_ready()
    for number in range(3):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{number}"})
    broker.wait_for_depth(f"DLQ.{queue}", 3, subscriber)
    assert "PRECONDITION_FAILED" in subscriber.text()
    subscriber.wait_for("the count", lambda: subscriber.metric("outbox_dead_lettered_messages_total", queue=queue) == 3)
    assert subscriber.metric("outbox_broker_reconnects_total") is None
    assert subscriber.metric("outbox_retried_messages_total", queue=queue) == 0


def test_a_dead_letter_queue_that_somebody_deleted_is_there_again_for_the_next_dead_letter(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    subscriber = subscribers.start("raises", f"/topic/{queue}").wait_ready()
    broker.server.delete_queue(f"DLQ.{queue}")
    broker.send(f"/topic/{queue}", {"key": queue})
    _letter(broker, queue, subscriber)


def test_an_exclusive_queue_has_no_retries_that_nobody_could_receive(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    settings = {"CONSUMER_RETRY_DELAYS": [60], "DEFAULT_EXCLUSIVE_QUEUE": True}
    subscriber = subscribers.start("raises", f"/topic/{queue}", **settings).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    assert _letter(broker, queue, subscriber)["properties"]["headers"]["dop-attempts"] == "1"
    assert subscriber.stop() == 0


@pytest.mark.parametrize("suffix", [" with space", "/slash", ":colon", "%25percent", "-ünïcödé", "\\back"])
def test_a_queue_with_an_odd_name_retries_too(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, suffix: str
) -> None:
    name = queue + suffix
    subscriber = subscribers.start("fails_twice", f"/topic/{queue}", name, CONSUMER_RETRY_DELAYS=SHORT).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the third try", lambda: database.effects(f"{queue} at 3 from /topic/{queue}") == 1)
