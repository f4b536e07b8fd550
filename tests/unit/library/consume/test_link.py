"""One connection, its deliveries, and what is said of them once it is gone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings
from stomp.exception import NotConnectedException
from stomp.utils import Frame

from django_outbox import link as link_module
from django_outbox.dialects import Artemis, Dialect, RabbitMQ
from django_outbox.exceptions import BrokerUnavailable, SubscriptionRefused
from django_outbox.link import Delivery, Link, advise
from django_outbox.listeners import ConsumerListener
from tests.unit.library.consume.doubles import Connection, headers


class Opened:
    """What ``open_connection`` returns, round a connection that remembers."""

    def __init__(self, connection: Connection, listener: Any) -> None:
        self.connection, self.listener, self.host = connection, listener, "broker:61613"
        self.dialect: Dialect = RabbitMQ()

    def is_connected(self) -> bool:
        return self.connection.connected

    def close(self, timeout: float) -> None:
        self.connection.connected = False


class Handset:
    """A link together with the broker's end of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, make_listener: Any = None, **connection: Any) -> None:
        self.connection = Connection(**connection)
        self.received: list[Delivery] = []
        monkeypatch.setattr(
            link_module, "open_connection", lambda _role, listener, **_: Opened(self.connection, listener)
        )
        self.link = Link(self.received.append, make_listener)
        self.link.open()
        self.listener: Any = self.link._open.listener  # type: ignore[union-attr]

    def delivery(self, **given: str) -> Delivery:
        return Delivery("{}", headers(**given), self.link)


@pytest.fixture
def handset(monkeypatch: pytest.MonkeyPatch) -> Handset:
    """An open link with nobody's own listener."""
    return Handset(monkeypatch)


def test_a_delivery_is_settled_by_the_ack_header_of_its_frame(handset: Handset) -> None:
    assert handset.link.ack(handset.delivery(ack="tag-1"))
    assert handset.link.nack(handset.delivery(ack="tag-2"))
    assert handset.connection.sent == [("ACK", "tag-1"), ("NACK", "tag-2", {"requeue": False})]


class _HearsSends(ConsumerListener):
    def on_send(self, frame: Any) -> None:
        """Somebody's audit."""


@pytest.mark.parametrize(
    ("listener", "is_told"),
    [(None, False), (ConsumerListener, False), (_HearsSends, True), (lambda _: SimpleNamespace(on_send=print), True)],
)
def test_acknowledgements_go_past_stomp_py_unless_a_listener_wants_to_hear_of_them(
    monkeypatch: pytest.MonkeyPatch, listener: Any, is_told: bool
) -> None:
    written: list[bytes] = []
    handset = Handset(monkeypatch, listener, transport=SimpleNamespace(send=written.append))
    monkeypatch.setattr(link_module, "is_plain", lambda _connection: True)
    assert handset.link.ack_all([handset.delivery(ack="a:1"), handset.delivery(ack="b")])
    by_stomp_py = [("ACK", "a:1"), ("ACK", "b")]
    assert (handset.connection.sent, written) == (
        (by_stomp_py, []) if is_told else ([], [b"ACK\nid:a\\c1\n\n\0ACK\nid:b\n\n\0"])
    )


def test_a_frame_without_an_ack_header_is_settled_by_its_message_id(handset: Handset) -> None:
    handset.link.ack(Delivery("{}", {"message-id": "m-1"}, handset.link))
    assert handset.connection.sent == [("ACK", "m-1")]


def test_stomp_1_1_names_the_subscription_too(monkeypatch: pytest.MonkeyPatch) -> None:
    handset = Handset(monkeypatch, version="1.1")
    handset.link.ack(handset.delivery())
    assert handset.connection.sent == [("ACK", "T_1@@session-1@@1", handset.link.subscription_id)]


def test_nothing_is_settled_on_a_connection_that_is_gone(handset: Handset) -> None:
    handset.listener.on_disconnected()
    assert not handset.link.ack(handset.delivery())
    assert not handset.link.nack(handset.delivery())
    assert handset.connection.sent == []


def test_where_a_refusal_would_destroy_the_message_the_link_is_given_up_instead(
    handset: Handset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handset.link._open, "dialect", Artemis())
    assert not handset.link.nack(handset.delivery())
    assert handset.connection.sent == []
    assert not handset.link.is_connected()


def test_a_body_that_is_no_text_reaches_the_callback_as_text_and_keeps_its_bytes(handset: Handset) -> None:
    for body in (b"\xff\x00", "h\u00f6".encode()):
        handset.listener.on_message(Frame("MESSAGE", headers(subscription=handset.link.subscription_id), body))
    assert [(delivery.body, delivery.raw) for delivery in handset.received] == [
        ("\N{REPLACEMENT CHARACTER}\0", b"\xff\0"),
        ("h\u00f6", None),
    ]


def test_a_connection_that_goes_away_under_an_acknowledgement_fails_the_link(handset: Handset) -> None:
    def gone(*_address: Any) -> None:
        raise NotConnectedException

    handset.connection.ack = gone  # type: ignore[method-assign]
    assert not handset.link.ack(handset.delivery())
    assert not handset.link.is_connected()


def test_an_error_frame_fails_the_link_and_its_words_come_first(handset: Handset) -> None:
    handset.listener.on_error(Frame("ERROR", {"message": "not_found"}, "no queue"))
    handset.listener.on_disconnected()
    assert (handset.link.failure, handset.link.failure_kind) == ("not_found: no queue", "error")


def test_a_silent_broker_is_told_from_a_lost_connection(handset: Handset) -> None:
    handset.listener.on_disconnected()
    handset.listener.on_heartbeat_timeout()
    assert handset.link.failure_kind == "heartbeat"


def test_parting_is_no_failure(handset: Handset) -> None:
    handset.link.close()
    handset.listener.on_disconnected()
    assert handset.link.failure is None


def test_subscribing_asks_for_individual_acknowledgements_and_waits_for_the_receipt(handset: Handset) -> None:
    handset.link.note_receipt(f"subscribed-{handset.link.subscription_id}")
    handset.link.subscribe("/topic/orders", {"durable": "true"})
    assert handset.connection.sent == [("SUBSCRIBE", "/topic/orders", "client-individual", {"durable": "true"})]


def test_a_refused_subscription_says_why_and_what_to_do(handset: Handset) -> None:
    handset.listener.on_error(Frame("ERROR", {"message": "PRECONDITION_FAILED"}, "inequivalent arg 'x-expires'"))
    with pytest.raises(SubscriptionRefused, match=r"inequivalent arg 'x-expires'.*empty and delete that queue"):
        handset.link.subscribe("/topic/orders", {})


def test_a_connection_lost_while_subscribing_is_an_outage(handset: Handset) -> None:
    handset.listener.on_disconnected()
    with pytest.raises(BrokerUnavailable, match="lost while subscribing"):
        handset.link.subscribe("/topic/orders", {})


@override_settings(DJANGO_OUTBOX_PATTERN={"RECEIPT_TIMEOUT": 0.01})
def test_a_broker_that_does_not_confirm_the_subscription_is_an_outage(handset: Handset) -> None:
    with pytest.raises(BrokerUnavailable, match="did not confirm"):
        handset.link.subscribe("/topic/orders", {})


def test_messages_of_this_subscription_are_handed_over_and_no_others(handset: Handset) -> None:
    handset.listener.on_message(Frame("MESSAGE", headers(subscription=handset.link.subscription_id), "mine"))
    handset.listener.on_message(Frame("MESSAGE", headers(subscription="another"), "not mine"))
    assert [delivery.body for delivery in handset.received] == ["mine"]


def test_a_listener_of_the_project_that_fails_costs_neither_connection_nor_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def on_message(self, _frame: Any) -> None:
            raise RuntimeError("bug in the project")

    handset = Handset(monkeypatch, make_listener=lambda _link: Broken())
    handset.listener.on_message(Frame("MESSAGE", headers(subscription=handset.link.subscription_id), "mine"))
    handset.listener.on_connected(Frame("CONNECTED", {}))
    assert [delivery.body for delivery in handset.received] == ["mine"]
    assert "bug in the project" in caplog.text


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("RESOURCE_LOCKED - cannot obtain exclusive access", "stop that subscriber"),
        ("ACCESS_REFUSED - access to queue refused", "Grant the user"),
        ("NOT_FOUND - no exchange 'x'", "Create the exchange"),
    ],
)
def test_the_brokers_words_come_with_advice(words: str, advice: str) -> None:
    assert words in advise(words)
    assert advice in advise(words)


def test_words_that_nobody_knows_are_left_alone() -> None:
    assert advise("something new") == "something new"


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("True", True), ("false", False), ("", False)])
def test_a_redelivery_is_recognised(handset: Handset, value: str, expected: bool) -> None:
    assert handset.delivery(redelivered=value).redelivered is expected


def test_a_frame_that_ends_within_its_headers_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    transport = SimpleNamespace(process_frame=lambda frame, _raw: handset.listener.on_message(frame))
    handset = Handset(monkeypatch, transport=transport)
    whole, cut = (Frame("MESSAGE", headers(subscription=handset.link.subscription_id), "") for _ in range(2))
    transport.process_frame(whole, b"MESSAGE\nack:1\n\n")
    transport.process_frame(cut, b"MESSAGE\nack:1\ncolor:")
    assert len(handset.received) == 1
    assert handset.connection.sent == [("NACK", "T_1@@session-1@@1", {"requeue": False})]
    assert "one of its headers holds NUL" in caplog.text
