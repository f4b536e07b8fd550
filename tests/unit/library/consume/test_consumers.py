"""The consumer and the listeners under the names and with the manners of the former library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings
from stomp.utils import Frame

from django_outbox.consumers import Consumer, LinkedConsumer, _get_msg_id, _get_or_create_correlation_id
from django_outbox.link import Delivery, Link
from django_outbox.listeners import ConsumerListener, ProducerListener
from django_outbox.models import Received
from tests.unit.library.consume.doubles import Connection, headers

if TYPE_CHECKING:
    from django_outbox.payloads import Payload


@pytest.fixture
def consumer() -> Consumer:
    """A consumer on a connection that remembers, not started."""
    consumer = Consumer(Connection(), "guest", "guest")
    consumer.destination = "/topic/orders"
    return consumer


def test_a_consumer_has_the_attributes_that_listeners_look_for(consumer: Consumer) -> None:
    assert consumer.queue_name is None
    assert consumer.subscribe_id is None
    assert consumer.received_class is Received
    assert consumer.listener_class is ConsumerListener
    assert consumer.subscribe_headers == {"durable": "true", "auto-delete": "false", "prefetch-count": "1"}
    assert isinstance(consumer.connection.listeners[consumer.listener_name], ConsumerListener)
    assert consumer.is_connected()


@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_CONSUMER_LISTENER_CLASS": f"{__name__}.OwnListener"})
def test_the_listener_class_of_the_settings_is_used() -> None:
    assert Consumer(Connection(), "guest", "guest").listener_class is OwnListener


class OwnListener(ConsumerListener):
    """A project's own."""


@pytest.mark.django_db
def test_a_handled_message_is_acknowledged_within_a_test_cases_transaction_too(consumer: Consumer) -> None:
    consumer.callback = lambda payload: payload.save()
    consumer.message_handler('{"a": 1}', headers(dop_msg_id="m-1"))
    assert consumer.connection.sent == [("ACK", "T_1@@session-1@@1")]
    assert Received.objects.get().body == {"a": 1}


@pytest.mark.django_db
def test_a_duplicate_is_acknowledged(consumer: Consumer) -> None:
    consumer.callback = lambda payload: payload.save()
    for _ in range(2):
        consumer.message_handler("{}", headers(dop_msg_id="m-1"))
    assert [sent[0] for sent in consumer.connection.sent] == ["ACK", "ACK"]
    assert Received.objects.count() == 1


@pytest.mark.django_db
def test_a_refused_message_is_refused_without_requeueing(consumer: Consumer) -> None:
    consumer.callback = lambda payload: payload.nack()
    consumer.message_handler("{}", {"message-id": "7"})
    assert consumer.connection.sent == [("NACK", "7", {"requeue": False})]


@pytest.mark.django_db
def test_a_raw_body_reaches_the_callback(consumer: Consumer) -> None:
    bodies: list[Any] = []

    def callback(payload: Payload) -> None:
        bodies.append(payload.body)
        payload.nack()

    consumer.callback = callback
    consumer.handle_incoming_message("no json", {"message-id": "7"})
    assert bodies == ["no json"]


def test_a_stopped_consumer_skips_what_still_comes(consumer: Consumer, caplog: pytest.LogCaptureFixture) -> None:
    consumer.stop()
    consumer.handle_incoming_message("{}", {"message-id": "7"})
    assert consumer.connection.sent == []
    assert "Received message during shutdown" in caplog.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cap-msg-id": "1", "dop-msg-id": "2", "message-id": "3"}, "1"),
        ({"dop-msg-id": "2", "message-id": "3"}, "2"),
        ({"message-id": "3"}, "3"),
        ({}, None),
    ],
)
def test_the_id_for_logs_is_the_senders_then_the_brokers(given: dict[str, str], expected: str | None) -> None:
    assert _get_msg_id(given) == expected


def test_the_correlation_id_is_the_messages_or_a_new_one() -> None:
    assert _get_or_create_correlation_id({"dop-correlation-id": "7"}) == "7"
    assert _get_or_create_correlation_id({}) != _get_or_create_correlation_id({})


def test_the_listener_of_a_link_hands_on_the_messages_of_that_link_only(consumer: Consumer) -> None:
    handed: list[Delivery] = []
    link = Link(handed.append)
    listener = ConsumerListener(LinkedConsumer(consumer, link))
    listener.on_message(Frame("MESSAGE", {"subscription": link.subscription_id, "message-id": "1"}, "{}"))
    listener.on_message(Frame("MESSAGE", {"subscription": "another", "message-id": "2"}, "{}"))
    assert [delivery.message_id for delivery in handed] == ["1"]
    assert handed[0].link is link


def test_a_listener_that_reconnects_by_itself_does_no_harm(consumer: Consumer) -> None:
    linked = LinkedConsumer(consumer, Link(lambda _delivery: None))
    linked.start(consumer.callback, consumer.destination, consumer.queue_name)
    assert linked.destination == "/topic/orders"
    assert not linked.is_connected()


def test_listeners_log_bodies_at_debug_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    ProducerListener(object()).on_send(Frame("SEND", {}, "secret"))
    link = Link(lambda _delivery: None)
    consumer = Consumer(Connection(), "guest", "guest")
    frame = Frame("MESSAGE", {"subscription": link.subscription_id, "message-id": "1"}, "secret")
    ConsumerListener(LinkedConsumer(consumer, link)).on_message(frame)
    assert "secret" not in caplog.text
    assert "Message id received: 1" in caplog.messages
