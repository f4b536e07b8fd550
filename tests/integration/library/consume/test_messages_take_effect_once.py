"""Each message changes the consumer's database once, whatever is delivered twice and whoever is killed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscribers


def test_a_message_takes_effect_and_leaves_the_queue(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert subscriber.stop() == 0
    assert database.inbox(msg_id) == [queue]
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_a_message_sent_twice_takes_effect_once_and_is_acknowledged_twice(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    broker.send(f"/topic/{queue}", {"key": queue}, dop_msg_id=msg_id)
    name = "outbox_received_messages_total"
    subscriber.wait_for("the duplicate", lambda: subscriber.metric(name, queue=queue, result="duplicate") == 1)
    assert subscriber.metric(name, queue=queue, result="ack") == 1
    assert subscriber.stop() == 0
    assert database.effects(queue) == 1
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_a_subscriber_killed_in_its_callback_is_followed_by_one_that_takes_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    first = subscribers.start("waits_for_gate", f"/topic/{queue}").wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    first.wait_for("the callback to begin", lambda: first.began(queue))
    first.kill()
    second = subscribers.start("waits_for_gate", f"/topic/{queue}").wait_ready()
    second.wait_for("the redelivery", lambda: second.began(queue))
    second.open_gate()
    second.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert second.metric("outbox_redelivered_messages_total", queue=queue) == 1
    assert second.stop() == 0
    assert database.effects(queue) == 1
    assert database.inbox(msg_id) == [queue]
    assert broker.depth(queue) == 0


def test_duplicates_handled_at_the_same_time_are_acknowledged_and_not_dead_lettered(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}", "--concurrency", "4").wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    for _ in range(3):
        broker.send(f"/topic/{queue}", {"key": queue}, dop_msg_id=msg_id)
    subscriber.wait_for("four at once", lambda: subscriber.metric("outbox_inflight_messages", queue=queue) == 4)
    subscriber.open_gate()
    name = "outbox_received_messages_total"
    subscriber.wait_for("three duplicates", lambda: subscriber.metric(name, queue=queue, result="duplicate") == 3)
    assert subscriber.metric(name, queue=queue, result="ack") == 1
    assert subscriber.stop() == 0
    assert database.effects(queue) == 1
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_two_subscriptions_of_one_service_both_consume_a_message(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    one = subscribers.start("save", f"/topic/{queue}", f"{queue}.one").wait_ready()
    two = subscribers.start("save", f"/topic/{queue}", f"{queue}.two").wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    one.wait_for("both effects", lambda: database.effects(queue) == 2)
    assert one.stop() == 0
    assert two.stop() == 0
    assert database.inbox(msg_id) == [f"{queue}.one", f"{queue}.two"]


def test_a_message_that_the_former_library_handled_is_not_handled_again(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    database.rows(
        "INSERT INTO received (id, msg_id, added, expires_at, retry, status)"
        " VALUES (gen_random_uuid(), %s, now(), now(), 0, 2)",
        f"old-{queue}",
    )
    broker.send(f"/topic/{queue}", {"key": queue}, dop_msg_id=f"old-{queue}")
    subscriber.wait_for(
        "the duplicate",
        lambda: subscriber.metric("outbox_received_messages_total", queue=queue, result="duplicate") == 1,
    )
    assert database.effects(queue) == 0


def test_messages_without_an_id_are_not_taken_for_each_other(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    for _ in range(3):
        broker.send_raw(f"/topic/{queue}", f'{{"key": "{queue}"}}', {})
    subscriber.wait_for("three effects", lambda: database.effects(queue) == 3)


def test_a_rolled_back_save_is_never_acknowledged(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("rolls_back", f"/topic/{queue}").wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    assert subscriber.stop() == 0
    assert database.effects(queue) == 0
    assert database.inbox(msg_id) == []


def test_database_errors_are_retried_before_the_message_is_given_up(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start(
        "database_fails_twice", f"/topic/{queue}", DEFAULT_CONSUMER_RETRY_WAIT=0.05
    ).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert subscriber.stop() == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_a_database_restart_delays_messages_and_refuses_none(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}", DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS=1).wait_ready()
    broker.send(f"/topic/{queue}", {"key": f"{queue}-before"})
    subscriber.wait_for("the first effect", lambda: database.effects(f"{queue}-before") == 1)
    database.server.stop()
    try:
        broker.send(f"/topic/{queue}", {"key": queue})
        subscriber.wait_for("the trouble to show", lambda: "database" in subscriber.reasons())
        assert subscriber.probe("/livez")[0] == 200
    finally:
        database.server.start()
    subscriber.wait_for("the second effect", lambda: database.effects(queue) == 1, seconds=60)
    subscriber.wait_ready()
    assert subscriber.stop() == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_two_hundred_messages_take_effect_once_each_however_often_their_subscriber_is_killed(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    arguments = ("save", f"/topic/{queue}", "--prefetch", "20", "--concurrency", "4")
    subscriber = subscribers.start(*arguments).wait_ready()
    for number in range(200):
        body = json.dumps({"key": f"{queue}-{number}"})
        broker.server.api.publish(queue, body, properties={"delivery_mode": 2, "headers": {"dop-msg-id": body}})
        if number % 40 == 39:
            subscriber.kill()
            subscriber = subscribers.start(*arguments).wait_ready()
    subscriber.wait_for("every effect", lambda: database.counts(f"{queue}-%")[1] == 200, seconds=60)
    assert subscriber.stop() == 0
    assert database.counts(f"{queue}-%") == (200, 200)
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0
