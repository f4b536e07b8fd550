"""The queues have the arguments that django-outbox-pattern gives them: it and we can take turns on one broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscribers

DECLARED = ("durable", "auto_delete", "exclusive", "arguments")


def _declaration(broker: Broker, name: str) -> dict[str, Any]:
    found = wait_until(f"the queue {name}", lambda: broker.server.api.queue(name), seconds=10)
    return {key: found[key] for key in DECLARED}


def _expected(dead_letter_key: str) -> dict[str, Any]:
    # As read from the management API after django-outbox-pattern 3.2.1 had declared them.
    return {
        "durable": True,
        "auto_delete": False,
        "exclusive": False,
        "arguments": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead_letter_key},
    }


@pytest.mark.parametrize("prefix", ["/topic/", "/exchange/amq.topic/", "/queue/"])
def test_the_queue_and_its_dead_letter_queue_have_the_peers_arguments(
    subscribers: Subscribers, broker: Broker, queue: str, prefix: str
) -> None:
    subscribers.start("save", f"{prefix}{queue}").wait_ready()
    assert _declaration(broker, queue) == _expected(f"DLQ.{queue}")
    assert _declaration(broker, f"DLQ.{queue}") == _expected(f"DLQ.DLQ.DLQ.{queue}")


def test_the_queue_outlives_its_subscriber_with_its_messages(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    assert subscriber.stop() == 0
    broker.send(f"/topic/{queue}", {"key": queue})
    broker.wait_for_depth(queue, 1)
    again = subscribers.start("save", f"/topic/{queue}").wait_ready()
    again.wait_for("the effect", lambda: database.effects(queue) == 1)


def test_prefetch_bounds_what_is_in_hand(subscribers: Subscribers, broker: Broker, queue: str) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}", "--prefetch", "3").wait_ready()
    for number in range(5):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{number}"})
    broker.wait_for_depth(queue, 2, subscriber)
    subscriber.open_gate()
    broker.wait_for_depth(queue, 0, subscriber)


def test_a_queue_that_exists_with_other_arguments_is_reported_and_tried_again(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    broker.server.declare_queue(queue, arguments={"x-max-length": 10})
    subscriber = subscribers.start("save", f"/topic/{queue}")
    reason = subscriber.wait_for("the refusal", lambda: _reason(subscriber, "PRECONDITION_FAILED"))
    assert "empty and delete that queue" in reason
    assert subscriber.probe("/livez")[0] == 200
    broker.server.delete_queue(queue)
    subscriber.wait_ready()


def _reason(subscriber: Any, words: str) -> str | None:
    return next((reason for reason in subscriber.reasons().values() if words in reason), None)
