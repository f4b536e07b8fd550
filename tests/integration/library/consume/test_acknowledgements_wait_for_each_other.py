"""Acknowledgements of messages that took effect go to the broker together, and soon, whatever the others do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.library.consume.filling import fill

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscriber, Subscribers

PREFETCH = ("--prefetch", "100")
COUNT = 20


def keys_of(queue: str) -> list[str]:
    """So many quick messages and a slow one behind them, which waits for the gate."""
    return [*(f"{queue}-{number}" for number in range(COUNT)), f"within-{queue}"]


def start_up_to_the_slow_one(subscribers: Subscribers, broker: Broker, queue: str) -> Subscriber:
    """Return a subscriber that has had all of them and is in the callback of the slow one."""
    keys = keys_of(queue)
    fill(subscribers, broker, queue, keys)
    subscriber = subscribers.start("waits_where_told", f"/topic/{queue}", *PREFETCH).wait_ready()
    subscriber.wait_for("the slow one begins", lambda: subscriber.began(keys[-1]))
    return subscriber


def test_a_slow_callback_holds_up_no_acknowledgement_of_the_messages_before_it(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = start_up_to_the_slow_one(subscribers, broker, queue)
    subscriber.wait_for("it alone is in hand", lambda: broker.unacknowledged(queue) == 1)
    assert subscriber.metric("outbox_received_messages_total", queue=queue, result="ack") == COUNT
    subscriber.open_gate()
    subscriber.wait_for("nothing is in hand", lambda: broker.unacknowledged(queue) == 0)
    assert subscriber.stop() == 0
    assert database.counts(f"%{queue}%") == (COUNT + 1, COUNT + 1)
    assert broker.depth(queue) == 0


def test_a_worker_killed_before_it_could_acknowledge_has_its_messages_take_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    start_up_to_the_slow_one(subscribers, broker, queue).kill()
    second = subscribers.start("waits_where_told", f"/topic/{queue}", *PREFETCH).wait_ready()
    second.open_gate()
    second.wait_for("every effect", lambda: database.counts(f"%{queue}%") == (COUNT + 1, COUNT + 1))
    second.wait_for("nothing is in hand", lambda: broker.unacknowledged(queue) == 0)
    assert second.stop() == 0
    assert database.counts(f"%{queue}%") == (COUNT + 1, COUNT + 1)
    assert (broker.depth(queue), broker.depth(f"DLQ.{queue}")) == (0, 0)


def test_a_subscriber_that_is_asked_to_stop_leaves_no_message_that_took_effect(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    fill(subscribers, broker, queue, keys_of(queue)[:COUNT])
    subscriber = subscribers.start("save", f"/topic/{queue}", *PREFETCH, "--concurrency", "3")
    subscriber.wait_for("the first effects", lambda: database.counts(f"%{queue}%")[0] > 0)
    assert subscriber.stop() == 0
    handled, once = database.counts(f"%{queue}%")
    assert handled == once
    # What it had in hand comes back when the broker has taken note of its end.
    broker.wait_for_depth(queue, COUNT - handled, subscriber)
