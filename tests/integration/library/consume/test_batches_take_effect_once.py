"""Callbacks that take many messages at a time, on a real broker and a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.library.consume.filling import fill

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscriber, Subscribers

RECEIVED = "outbox_received_messages_total"


def _acknowledged(subscriber: Subscriber, queue: str) -> float | None:
    return subscriber.metric(RECEIVED, queue=queue, result="ack")


def test_messages_take_effect_in_batches_and_each_is_acknowledged(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    fill(subscribers, broker, queue, (f"{queue}-{number}" for number in range(100)))
    subscriber = subscribers.start("saves_batch", f"/topic/{queue}").wait_ready()
    subscriber.wait_for("every acknowledgement", lambda: _acknowledged(subscriber, queue) == 100)
    calls = subscriber.metric("outbox_callback_duration_seconds_count", queue=queue)
    # Five full ones; on a slow machine the first may begin before all are here.
    assert calls is not None
    assert 5 <= calls <= 20
    assert subscriber.metric("outbox_inflight_messages", queue=queue) == 0
    assert subscriber.stop() == 0
    assert database.counts(f"{queue}-%") == (100, 100)
    assert database.inbox(f"{queue}-7") == [queue]
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_one_bad_message_of_a_batch_is_a_dead_letter_and_the_others_take_effect(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    keys = [f"{'bad-' if number == 7 else ''}{queue}-{number}" for number in range(20)]
    fill(subscribers, broker, queue, keys)
    subscriber = subscribers.start("saves_batch", f"/topic/{queue}").wait_ready()
    subscriber.wait_for("the good ones", lambda: _acknowledged(subscriber, queue) == 19)
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    told = broker.server.get_messages(f"DLQ.{queue}")[0]["properties"]["headers"]
    assert (told["dop-msg-id"], told["dop-attempts"]) == (keys[7], "1")
    assert told["dop-error"] == f"ValueError: cannot handle {keys[7]}"
    assert subscriber.stop() == 0
    assert database.counts(f"{queue}-%") == (19, 19)
    assert database.effects(keys[7]) == 0
    assert broker.depth(queue) == 0


def test_messages_of_large_batches_take_effect_once_when_several_workers_get_each(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    keys = [f"{queue}-{number}" for number in range(120)]
    fill(subscribers, broker, queue, [*keys, *keys])
    subscriber = subscribers.start("saves_large_batch", f"/topic/{queue}", "--concurrency", "4").wait_ready()
    subscriber.wait_for("every effect", lambda: _acknowledged(subscriber, queue) == 120)
    broker.wait_for_depth(queue, 0, subscriber)
    assert subscriber.stop() == 0
    assert database.counts(f"{queue}-%") == (120, 120)
    assert database.inbox(keys[7]) == [queue]
    headers = "SELECT headers ->> 'dop-msg-id' FROM received WHERE msg_id = %s AND status = 2 AND body ->> 'key' = %s"
    assert database.rows(headers, keys[7], keys[7]) == [(keys[7],)]
    assert broker.depth(f"DLQ.{queue}") == 0


def test_a_batch_whose_subscriber_is_killed_takes_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    fill(subscribers, broker, queue, (f"{queue}-{number}" for number in range(10)))
    first = subscribers.start("batch_waits_for_gate", f"/topic/{queue}").wait_ready()
    first.wait_for("the batch to begin", lambda: first.began("batch"))
    first.kill()
    second = subscribers.start("batch_waits_for_gate", f"/topic/{queue}").wait_ready()
    second.open_gate()
    second.wait_for("every effect", lambda: _acknowledged(second, queue) == 10)
    assert second.stop() == 0
    assert database.counts(f"{queue}-%") == (10, 10)
    assert broker.depth(queue) == 0


def test_a_batch_that_outlives_its_connection_takes_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    fill(subscribers, broker, queue, (f"{queue}-{number}" for number in range(10)))
    subscriber = subscribers.start("batch_waits_for_gate", f"/topic/{queue}").wait_ready()
    subscriber.wait_for("the batch to begin", lambda: subscriber.began("batch"))
    broker.server.restart()
    subscriber.wait_for("a new connection", lambda: subscriber.metric("outbox_broker_reconnects_total"))
    subscriber.open_gate()
    handled = lambda: sum(subscriber.metric(RECEIVED, queue=queue, result=how) or 0 for how in ("ack", "duplicate"))  # noqa: E731
    # Those of the batch come again, and so does what the batch had left for another.
    subscriber.wait_for("every message", lambda: handled() == 10)
    assert (subscriber.metric(RECEIVED, queue=queue, result="duplicate") or 0) >= 1
    assert subscriber.stop() == 0
    assert database.counts(f"{queue}-%") == (10, 10)
    assert broker.depth(queue) == 0


def test_messages_of_a_batch_can_be_refused_and_put_off_singly(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("batch_decides_singly", f"/topic/{queue}").wait_ready()
    for how in ("save", "nack", "retry"):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{how}", "how": how})
    subscriber.wait_for("both effects", lambda: database.counts(f"{queue}-%") == (2, 2))
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    assert database.effects(f"{queue}-nack") == 0
    told = broker.server.get_messages(f"DLQ.{queue}")[0]["properties"]["headers"]
    assert told["dop-error"] == "not ours"
