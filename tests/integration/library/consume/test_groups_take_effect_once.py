"""Several messages in one transaction, on a real broker and a real database: a failure is one message's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.library.consume.filling import fill

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscriber, Subscribers

RECEIVED = "outbox_received_messages_total"
GROUP = ("--group", "50")


def _settled(subscriber: Subscriber, queue: str, *results: str) -> float:
    return sum(subscriber.metric(RECEIVED, queue=queue, result=result) or 0 for result in results)


def test_messages_of_a_group_take_effect_and_one_that_fails_undoes_only_its_own(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    keys = [f"{'bad-' if number == 30 else ''}{queue}-{number}" for number in range(60)]
    fill(subscribers, broker, queue, keys)
    subscriber = subscribers.start("raises_on_bad", f"/topic/{queue}", *GROUP).wait_ready()
    subscriber.wait_for("the good ones", lambda: _settled(subscriber, queue, "ack") == 59)
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    told = broker.server.get_messages(f"DLQ.{queue}")[0]["properties"]["headers"]
    assert (told["dop-msg-id"], told["dop-error"]) == (keys[30], f"ValueError: cannot handle {keys[30]}")
    assert subscriber.stop() == 0
    assert database.counts(f"%{queue}-%") == (59, 59)
    assert database.inbox(f"{queue}-7") == [queue]
    transactions = "SELECT count(DISTINCT xmin::text) FROM received WHERE consumer = %s"
    assert database.rows(transactions, queue)[0][0] < 59, "some of them shared a transaction"
    assert broker.depth(queue) == 0


def test_a_callback_that_spoils_the_shared_transaction_costs_the_others_nothing(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    fill(subscribers, broker, queue, (f"{'bad-' if number == 9 else ''}{queue}-{number}" for number in range(20)))
    subscriber = subscribers.start("spoils_the_transaction", f"/topic/{queue}", *GROUP).wait_ready()
    subscriber.wait_for("every message", lambda: _settled(subscriber, queue, "ack") == 20)
    assert subscriber.stop() == 0
    assert "could not be committed together" in subscriber.text()
    assert database.counts(f"%{queue}-%") == (20, 20)
    assert broker.depth(f"DLQ.{queue}") == 0


def test_what_a_failed_callback_copied_into_the_outbox_is_undone(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    keys = [f"{'bad-' if number == 9 else ''}{queue}-{number}" for number in range(20)]
    fill(subscribers, broker, queue, keys)
    subscriber = subscribers.start("publishes_many", f"/topic/{queue}", *GROUP).wait_ready()
    subscriber.wait_for("the good ones", lambda: _settled(subscriber, queue, "ack") == 19)
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    assert subscriber.stop() == 0
    written = "SELECT body ->> 'key', count(*) FROM published WHERE body ->> 'key' LIKE %s GROUP BY 1"
    assert sorted(database.rows(written, f"%{queue}-%")) == sorted((key, 60) for key in keys if key != keys[9])


@pytest.mark.parametrize("where", ["within", "after"])
def test_a_group_whose_subscriber_is_killed_takes_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, where: str
) -> None:
    keys = [f"{where if number == 9 else 'plain'}-{queue}-{number}" for number in range(20)]
    fill(subscribers, broker, queue, keys)
    first = subscribers.start("waits_where_told", f"/topic/{queue}", *GROUP).wait_ready()
    first.wait_for("it waits amid a group", lambda: first.began(keys[9]))
    assert database.effects(keys[9]) == (where == "after")
    first.kill()
    second = subscribers.start("waits_where_told", f"/topic/{queue}", *GROUP).wait_ready()
    second.open_gate()
    second.wait_for("every effect", lambda: database.counts(f"%{queue}-%") == (20, 20))
    broker.wait_for_depth(queue, 0, second)
    assert second.stop() == 0
    assert database.counts(f"%{queue}-%") == (20, 20)
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_duplicates_in_groups_of_several_workers_take_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    keys = [f"{queue}-{number}" for number in range(60)]
    fill(subscribers, broker, queue, [key for key in keys for _ in range(3)])
    subscriber = subscribers.start("save", f"/topic/{queue}", *GROUP, "--concurrency", "4").wait_ready()
    subscriber.wait_for("every message", lambda: _settled(subscriber, queue, "ack", "duplicate") == 180)
    assert _settled(subscriber, queue, "ack") == 60
    assert subscriber.stop() == 0
    assert database.counts(f"{queue}-%") == (60, 60)
    assert broker.depth(queue) == 0
    assert broker.depth(f"DLQ.{queue}") == 0
