"""Whatever comes out of a queue, it has its effect, or it is among the dead letters: no crash, no loss."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from hypothesis import example, given

from django_outbox.models import Received
from django_outbox.testing import MemoryBroker, deliver
from django_outbox.transport.base import Outgoing
from tests.unit.library.badinput import strategies as some

if TYPE_CHECKING:
    from django_outbox.payloads import Payload

pytestmark = pytest.mark.django_db


def _send(broker: MemoryBroker, body: Any, headers: dict[str, str]) -> None:
    broker.publish(Outgoing(uuid.uuid4(), "/topic/x", body, headers))


@given(body=some.foreign_bodies, headers=some.foreign_headers)
@example(body="[" * 3000, headers={})
def test_a_foreign_message_takes_effect_whatever_it_says(body: str, headers: dict[str, str]) -> None:
    seen: list[Any] = []

    def callback(payload: Payload) -> None:
        seen.append(payload.body)
        payload.save()

    with transaction.atomic():
        broker = MemoryBroker(remembers=True)
        _send(broker, body, headers)
        delivered = deliver(callback, "/topic/x", "q", broker=broker)
        assert delivered.outcomes == ["ack"]
        assert len(seen) == 1
        assert Received.objects.count() == 1
        transaction.set_rollback(True)


@given(body=some.foreign_bodies, headers=some.foreign_headers)
def test_a_foreign_message_that_fails_is_a_dead_letter(body: str, headers: dict[str, str]) -> None:
    def callback(payload: Payload) -> None:
        raise ValueError(payload.body)

    broker = MemoryBroker(remembers=True)
    _send(broker, body, headers)
    deliver(callback, "/topic/x", "q", broker=broker, raise_errors=False)
    [letter] = broker.dead_letters("q")
    assert letter.body == body


@given(first=some.foreign_ids, second=some.foreign_ids)
def test_ids_that_differ_are_different_messages_and_equal_ones_are_one(first: str, second: str) -> None:
    with transaction.atomic():
        broker = MemoryBroker(remembers=True)
        _send(broker, "1", {"dop-msg-id": first})
        _send(broker, "2", {"dop-msg-id": second})
        delivered = deliver(lambda payload: payload.save(), "/topic/x", "q", broker=broker)
        is_same = bool(first) and first == second
        assert delivered.outcomes == ["ack", "duplicate" if is_same else "ack"]
        transaction.set_rollback(True)


@pytest.mark.parametrize("body", ["NaN", '{"a": "\\u0000"}', '"\\ud800"', "[" * 300 + "]" * 300, "\0", "[1e400]"])
def test_the_inbox_does_without_a_body_that_no_column_holds(body: str) -> None:
    broker = MemoryBroker(remembers=True)
    _send(broker, body, {"dop-msg-id": "a"})
    assert deliver(lambda payload: payload.save(), "/topic/x", "q", broker=broker).outcomes == ["ack"]
    assert Received.objects.get().body is None
