"""No credential and no body is in any log record, repr or metric label, however a message fares."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings
from prometheus_client import generate_latest

from django_outbox import enqueue
from django_outbox.exceptions import BrokerRefused, InvalidMessage
from django_outbox.models import Published, Received
from django_outbox.testing import MemoryBroker, MemoryStompServer, deliver, make_payload, run_relay
from django_outbox.transport.publishing import StompTransport
from django_outbox.transport.stomp import open_connection

if TYPE_CHECKING:
    from django_outbox.payloads import Payload

pytestmark = pytest.mark.django_db

BODY, PASSWORD = "marker-of-a-body", "marker-of-a-password"
SETTINGS = {"DEFAULT_STOMP_PASSCODE": PASSWORD, "DEFAULT_STOMP_SSL_PASSWORD": PASSWORD}


@pytest.fixture(autouse=True)
def confidential(caplog: pytest.LogCaptureFixture) -> Any:
    """Log everything there is, and look at it all in the end."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "django_outbox_pattern")
    with override_settings(DJANGO_OUTBOX_PATTERN=SETTINGS):
        yield
    for record in caplog.records:
        # The fields of `extra` lie among the record's own.
        _check(f"{record.getMessage()} {vars(record)}")
    _check(generate_latest().decode())


def _check(text: str) -> None:
    assert BODY not in text
    assert PASSWORD not in text


def _saves(payload: Payload) -> None:
    payload.save()


def _fails(payload: Payload) -> None:
    raise ValueError("a callback says what it likes, but not this one")


@pytest.mark.parametrize("callback", [_saves, _fails, lambda payload: payload.nack(), lambda _payload: None])
def test_on_the_way_from_the_row_to_the_callback(callback: Any) -> None:
    enqueue("/topic/x", {"secret": BODY})
    deliver(callback, "/topic/x", "q", raise_errors=False)


@pytest.mark.parametrize("fault", [{"refuses": {"/queue/x"}}, {"frame_limit": 5}, {"dies_of": {"/queue/x"}}])
def test_of_a_row_that_fails(fault: Any) -> None:
    row = enqueue("/queue/x", {"secret": BODY})
    relayed = run_relay(MemoryBroker(**fault))
    assert relayed.errors[str(row.id)]
    _check(repr(relayed.errors))


def test_of_connections() -> None:
    broker = MemoryBroker()
    with MemoryStompServer(broker) as server, override_settings(DJANGO_OUTBOX_PATTERN={**SETTINGS, **server.settings}):
        opened = open_connection("publisher")
        _check(repr(opened))
        opened.close()
        broker.refuses_login = True
        transport = StompTransport()
        with pytest.raises(BrokerRefused) as caught:
            transport.connect()
        _check(f"{caught.value} {transport!r}")


def test_of_a_message_that_is_not_json() -> None:
    broker = MemoryBroker(remembers=True)
    row = enqueue("/topic/x", {})
    Published.objects.filter(pk=row.pk).update(body=f"{BODY} \0")
    deliver(_saves, "/topic/x", "q", broker=broker)


def test_in_the_repr_of_what_holds_a_body() -> None:
    row = enqueue("/topic/x", {"secret": BODY})
    payload = make_payload({"secret": BODY})
    for thing in (row, payload, Received(msg_id="a", body={"secret": BODY})):
        _check(repr(thing))


def test_of_a_body_that_is_refused() -> None:
    with pytest.raises(InvalidMessage) as caught:
        enqueue("/topic/x", {"note": f"{BODY}\0"})
    _check(str(caught.value))
