"""The series, probes and database connections of a subscriber at work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscribers


def test_every_series_of_a_subscriber_has_a_value(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    started = time.time()
    subscriber = subscribers.start("raises_on_bad", f"/topic/{queue}").wait_ready()
    sent = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    broker.send(f"/topic/{queue}", {"key": queue}, dop_msg_sent_time=sent)
    broker.send(f"/topic/{queue}", {"key": "bad"})
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    subscriber.wait_for("the error", lambda: subscriber.metric("outbox_received_messages_total", result="error") == 1)
    host = f"{broker.server.host}:{broker.server.stomp_port}"
    callback = "tests.django_project.callbacks.raises_on_bad"
    assert subscriber.metric("outbox_received_messages_total", queue=queue, result="ack") == 1
    assert subscriber.metric("outbox_callback_duration_seconds_count", queue=queue, callback=callback) == 2
    assert subscriber.metric("outbox_receive_lag_seconds_count", queue=queue) == 1
    assert subscriber.metric("outbox_inflight_messages", queue=queue) == 0
    assert subscriber.metric("outbox_broker_connected", host=host) == 1
    last = subscriber.metric("outbox_loop_last_success_timestamp_seconds", role="subscription")
    assert last is not None
    assert last >= started - 1
    assert subscriber.metric("outbox_worker_info", role="subscription") == 1
    assert subscriber.metric("outbox_pending_messages") is None


def test_series_begin_at_0_before_the_first_message(subscribers: Subscribers, queue: str) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    for result in ("ack", "nack", "duplicate", "error"):
        assert subscriber.metric("outbox_received_messages_total", queue=queue, result=result) == 0
    assert subscriber.metric("outbox_redelivered_messages_total", queue=queue) == 0
    assert subscriber.metric("outbox_callback_duration_seconds_count", queue=queue) == 0
    assert subscriber.metric("outbox_receive_lag_seconds_count", queue=queue) == 0


def test_a_burst_costs_one_database_connection_and_an_idle_subscriber_holds_none(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    assert subscribers.start("notes_connection", f"/topic/{queue}").wait_ready().stop() == 0
    for number in range(20):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{number}"})
    subscriber = subscribers.start("notes_connection", f"/topic/{queue}").wait_ready()
    broker.wait_for_depth(queue, 0, subscriber)
    subscriber.wait_for("all effects", lambda: len(_connections_used(database, queue)) == 20)
    used = set(_connections_used(database, queue))
    assert len(used) == 1, used
    backend = used.pop()
    subscriber.wait_for("the idle subscriber's connection to close", lambda: not _is_open(database, backend))


def _connections_used(database: Database, queue: str) -> list[int]:
    """The server's process behind the connection that each message was handled on."""
    rows = database.rows("SELECT key FROM events_effect WHERE key LIKE %s", f"connection of {queue}-%")
    return [int(row[0].rpartition(" ")[2]) for row in rows]


def _is_open(database: Database, backend: int) -> bool:
    return bool(database.rows("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend))
