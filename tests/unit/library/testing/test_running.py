"""``run_relay()`` and ``deliver()``: from the outbox to the callback's effect in one process, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import transaction

from django_outbox import enqueue
from django_outbox.choices import StatusChoice
from django_outbox.exceptions import BrokerUnavailable
from django_outbox.models import Published, Received
from django_outbox.testing import MemoryBroker, assert_outbox_statements, deliver, make_payload, run_relay
from tests.django_project import callbacks
from tests.django_project.events.models import Effect, Plain

if TYPE_CHECKING:
    from django_outbox.payloads import Payload

pytestmark = pytest.mark.django_db


def _keys() -> list[str]:
    return list(Effect.objects.order_by("pk").values_list("key", flat=True))


def test_a_saved_model_reaches_its_callback() -> None:
    seen = []

    def callback(payload: Payload) -> None:
        seen.append(payload.body["field_one"])
        payload.save()

    Plain.objects.create(field_one="a", field_two="b")
    assert deliver(callback, "/topic/plain").outcomes == ["ack"]
    assert seen == ["a"]
    assert Published.objects.get().status == StatusChoice.SUCCEEDED
    assert Received.objects.get().consumer == "plain"


@pytest.mark.django_db(transaction=True)
def test_it_is_the_same_where_transactions_commit() -> None:
    enqueue("/topic/orders", {"key": "a"})
    assert deliver(callbacks.save, "/topic/orders", "billing").outcomes == ["ack"]
    assert _keys() == ["a"]


def test_messages_arrive_in_order_and_once() -> None:
    broker = MemoryBroker(remembers=True)
    for number in range(5):
        enqueue("/topic/orders", {"key": number})
    assert len(deliver(callbacks.save, "/topic/orders", "billing", broker=broker)) == 5
    assert len(deliver(callbacks.save, "/topic/orders", "billing", broker=broker)) == 0
    assert _keys() == ["0", "1", "2", "3", "4"]


def test_each_queue_of_a_topic_gets_every_message() -> None:
    broker = MemoryBroker(remembers=True)
    enqueue("/topic/orders", {"key": "a"})
    for queue in ("billing", "shipping"):
        assert deliver(callbacks.save, "/topic/orders", queue, broker=broker).outcomes == ["ack"]
    assert _keys() == ["a", "a"]


def test_a_message_sent_twice_takes_effect_once() -> None:
    broker = MemoryBroker(remembers=True)
    enqueue("/topic/orders", {"key": "a"})
    run_relay(broker)
    Published.objects.update(status=StatusChoice.SCHEDULE)
    assert deliver(callbacks.save, "/topic/orders", "billing", broker=broker).outcomes == ["ack", "duplicate"]
    assert _keys() == ["a"]


def test_what_a_callback_raises_is_raised_in_the_test() -> None:
    enqueue("/topic/orders", {"key": "bad"})
    enqueue("/topic/orders", {"key": "good"})
    with pytest.raises(ValueError, match="cannot handle bad"):
        deliver(callbacks.raises_on_bad, "/topic/orders")
    assert _keys() == ["good"]


def test_a_callback_that_forgets_to_save_is_an_error() -> None:
    enqueue("/topic/orders", {"key": "a"})
    with pytest.raises(AssertionError, match=r"without payload.save\(\) or payload.nack\(\)"):
        deliver(callbacks.does_nothing, "/topic/orders")


def test_dead_letters_can_be_looked_at() -> None:
    broker = MemoryBroker(remembers=True)
    enqueue("/topic/orders", {"key": "bad"})
    delivered = deliver(callbacks.raises_on_bad, "/topic/orders", "billing", broker=broker, raise_errors=False)
    assert [str(error) for error in delivered.errors] == ["cannot handle bad"]
    [letter] = broker.dead_letters("billing")
    assert letter.body == '{"key": "bad"}'
    assert letter.headers["dop-msg-id"] == str(Published.objects.get().id)


def test_a_refused_message_is_a_dead_letter_and_no_error() -> None:
    broker = MemoryBroker(remembers=True)
    enqueue("/topic/orders", {"key": "a"})
    assert deliver(callbacks.nacks, "/topic/orders", "billing", broker=broker).outcomes == ["nack"]
    assert len(broker.dead_letters("billing")) == 1


def test_a_message_of_a_callback_is_delivered_by_the_next_call() -> None:
    def answer(payload: Payload) -> None:
        with transaction.atomic():
            enqueue("/topic/answers", {"key": payload.body["key"]})
            payload.save()

    broker = MemoryBroker(remembers=True)
    enqueue("/topic/questions", {"key": "a"})
    deliver(answer, "/topic/questions", broker=broker)
    deliver(callbacks.save, "/topic/answers", broker=broker)
    assert _keys() == ["a"]


def test_what_a_broker_refuses_is_reported_and_the_others_arrive() -> None:
    broker = MemoryBroker(refuses={"/queue/forbidden"})
    bad = enqueue("/queue/forbidden", 1)
    enqueue("/queue/fine", 2)
    relayed = run_relay(broker)
    assert relayed.errors == {str(bad.id): "refused by the broker in memory"}
    assert [message.body for message in relayed.messages] == ["2"]
    assert broker.bodies("/queue/fine") == ["2"]


def test_a_broker_that_is_down_is_said_to_be_down() -> None:
    enqueue("/queue/x", 1)
    with pytest.raises(BrokerUnavailable):
        run_relay(MemoryBroker(is_down=True))


def test_the_relay_reads_the_database_it_is_told_to() -> None:
    enqueue("/queue/x", 1)
    assert len(run_relay()) == 1
    assert len(run_relay()) == 0


def test_a_payload_for_a_unit_test_comes_as_a_message_does() -> None:
    payload = make_payload({"key": ("a", "b")}, {"tenant": 7}, queue="billing")
    assert payload.body == {"key": ["a", "b"]}
    assert payload.headers["tenant"] == "7"
    callbacks.save(payload)
    assert payload.saved
    row = Received.objects.get()
    assert (row.consumer, row.msg_id) == ("billing", payload.headers["dop-msg-id"])


def test_a_payload_remembers_what_it_was_told() -> None:
    payload = make_payload({})
    payload.nack()
    assert payload.nacked
    assert payload.connection.sent == [("NACK", payload.headers["ack"])]


def test_statements_of_the_outbox_are_counted_and_shown() -> None:
    with assert_outbox_statements(at_most=1):
        enqueue("/queue/x", 1)
        Effect.objects.count()
    with pytest.raises(AssertionError, match=r"2 statements (.*\n)*.*UPDATE"), assert_outbox_statements(at_most=1):
        Published.objects.update(body=Published.objects.get().body)


def test_statements_of_a_relay_are_counted_by_the_batch() -> None:
    Published.objects.bulk_create(Published(destination="/queue/x", body=n) for n in range(1200))
    with assert_outbox_statements(max_per_batch=6):
        run_relay()
    Published.objects.update(status=StatusChoice.SCHEDULE)
    with pytest.raises(AssertionError, match="1 for each of 3 batches"), assert_outbox_statements(max_per_batch=1):
        run_relay()


def test_a_count_of_statements_needs_one_limit() -> None:
    with pytest.raises(TypeError), assert_outbox_statements():
        pass
