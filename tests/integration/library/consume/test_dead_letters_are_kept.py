"""A message that cannot be handled stays on the broker, the subscriber goes on, and no restart loses a dead letter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscribers


@pytest.mark.parametrize("callback", ["raises", "nacks", "does_nothing", "exits", "rolls_back"])
def test_a_message_that_is_not_handled_goes_to_the_dead_letter_queue_and_the_next_one_is_tried(
    subscribers: Subscribers, broker: Broker, queue: str, callback: str
) -> None:
    subscriber = subscribers.start(callback, f"/topic/{queue}").wait_ready()
    for number in range(3):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{number}"})
    broker.wait_for_depth(f"DLQ.{queue}", 3, subscriber)
    assert subscriber.stop() == 0
    assert broker.depth(queue) == 0


def test_good_messages_between_bad_ones_take_effect(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("raises_on_bad", f"/topic/{queue}").wait_ready()
    bodies: list[str | bytes] = [
        "not json at all",
        b"\xff\xfe\x00binary",
        "[1, 2",
        "",
        "[" * 20_000,
        f'{{"key": "bad-{queue}"}}',
        '{"key": "a character the database does not take: \\u0000"}',
        '{"key": "half a character: \\ud800"}',
    ]
    for number, body in enumerate(bodies):
        broker.send_raw(f"/topic/{queue}", body, {"dop-msg-id": f"{queue}-{number}"})
        broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the good effects", lambda: database.effects(queue) == len(bodies))
    broker.wait_for_depth(f"DLQ.{queue}", len(bodies), subscriber)
    assert subscriber.ready()
    assert subscriber.stop() == 0
    assert broker.depth(queue) == 0


def test_the_dead_letter_is_the_message_as_it_came(subscribers: Subscribers, broker: Broker, queue: str) -> None:
    subscriber = subscribers.start("raises", f"/topic/{queue}").wait_ready()
    broker.send_raw(f"/topic/{queue}", "not json at all", {"dop-msg-id": queue, "color": "blue"})
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    letter = broker.server.get_messages(f"DLQ.{queue}")[0]
    assert letter["payload"] == "not json at all"
    assert letter["properties"]["headers"]["dop-msg-id"] == queue
    assert letter["properties"]["headers"]["color"] == "blue"


def test_a_callback_that_can_use_a_raw_body_gets_it(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    broker.send_raw(f"/topic/{queue}", f"raw {queue}", {"dop-msg-id": queue})
    subscriber.wait_for("the effect", lambda: database.effects(f"raw {queue}") == 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"a:b": "colon\\and\nnewline: value"},
        {"dop-msg-id": "x" * 10_000},
        {"dop-msg-id": "ünïcödé ☃ id"},
        {"dop-correlation-id": ""},
        {"dop-msg-sent-time": "yesterday"},
        {"content-type": "application/x-unknown", "redelivered": "maybe"},
    ],
    ids=["escapes", "id of 10,000 characters", "unicode id", "empty correlation", "odd time", "unknown types"],
)
def test_odd_headers_hinder_no_message(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, headers: dict[str, str]
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    broker.send_raw(f"/topic/{queue}", f'{{"key": "{queue}"}}', headers)
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert subscriber.stop() == 0
    assert broker.depth(f"DLQ.{queue}") == 0


def test_five_restarts_lose_no_dead_letter(subscribers: Subscribers, broker: Broker, queue: str) -> None:
    dead = f"DLQ.{queue}"
    subscriber = subscribers.start("raises", f"/topic/{queue}").wait_ready()
    for number in range(5):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{number}"})
    broker.wait_for_depth(dead, 5, subscriber)
    assert subscriber.stop() == 0
    for restart in range(5):
        again = subscribers.start("raises", f"/topic/{queue}").wait_ready()
        # One more failure each time: what the subscriber settles must not settle a waiting dead letter with it.
        broker.send(f"/topic/{queue}", {"key": f"{queue}-again-{restart}"})
        broker.wait_for_depth(dead, 6 + restart, again)
        # Killed between the copy and the acknowledgement, it would leave the letter there twice.
        again.wait_for(
            "the end", lambda worker=again: worker.metric("outbox_dead_lettered_messages_total", queue=queue)
        )
        if restart % 2:
            again.kill()
        else:
            assert again.stop() == 0
    assert broker.depth(dead) == 10
    bodies = {letter["payload"] for letter in broker.server.get_messages(dead, 20)}
    assert len(bodies) == 10


def test_a_waiting_dead_letter_is_not_even_handed_out_by_a_restart(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    """A quorum queue counts each hand-out, and drops a message for which there were too many."""
    dead = f"DLQ.{queue}"
    quorum = {"durable": "true", "auto-delete": "false", "prefetch-count": "1", "x-queue-type": "quorum"}
    api = broker.server.api
    policy = {"pattern": f"^{dead}$", "definition": {"delivery-limit": 1}, "apply-to": "queues"}
    api.call("PUT", f"policies/%2F/{queue}", policy)
    subscriber = subscribers.start("raises", f"/topic/{queue}", DEFAULT_STOMP_QUEUE_HEADERS=quorum).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    broker.wait_for_depth(dead, 1, subscriber)
    assert subscriber.stop() == 0
    for _ in range(4):
        again = subscribers.start("raises", f"/topic/{queue}", DEFAULT_STOMP_QUEUE_HEADERS=quorum).wait_ready()
        assert again.stop() == 0
    letter = broker.server.get_messages(dead)[0]
    assert letter["redelivered"] is False
    api.call("DELETE", f"policies/%2F/{queue}")


def test_subscribers_that_start_together_on_a_new_queue_all_get_ready(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    together = [subscribers.start("raises", f"/topic/{queue}") for _ in range(4)]
    for subscriber in together:
        subscriber.wait_ready()
    for number in range(8):
        broker.send(f"/topic/{queue}", {"key": f"{queue}-{number}"})
    broker.wait_for_depth(f"DLQ.{queue}", 8, together[0])


def test_an_exclusive_queue_keeps_its_dead_letters(subscribers: Subscribers, broker: Broker, queue: str) -> None:
    subscriber = subscribers.start("raises", f"/topic/{queue}", DEFAULT_EXCLUSIVE_QUEUE=True).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    assert subscriber.stop() == 0
    assert broker.depth(f"DLQ.{queue}") == 1


@pytest.mark.parametrize("suffix", [" with space", "/slash", ":colon", "%25percent", "%percent", "-ünïcödé", "\\back"])
def test_a_queue_with_an_odd_name_has_a_dead_letter_queue_that_takes_its_messages(
    subscribers: Subscribers, broker: Broker, queue: str, suffix: str
) -> None:
    name = queue + suffix
    subscriber = subscribers.start("raises", f"/topic/{queue}", name).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    broker.wait_for_depth(f"DLQ.{name}", 1, subscriber)
    assert subscriber.stop() == 0
    assert broker.depth(name) == 0
