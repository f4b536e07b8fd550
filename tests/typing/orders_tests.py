"""Tests as a user writes them, with every name of the test kit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

from callbacks import bill_order
from orders import Order, cancel

from django_outbox.testing import (
    CapturedOutbox,
    Delivered,
    FakeConnection,
    MemoryBroker,
    MemoryStompServer,
    MemoryTransport,
    Relayed,
    WrittenMessage,
    assert_outbox_statements,
    assert_published,
    capture_outbox,
    deliver,
    make_payload,
    run_relay,
)

if TYPE_CHECKING:
    from django_outbox import Payload


def test_with_fixtures(outbox: CapturedOutbox, outbox_broker: MemoryBroker) -> None:
    """The two fixtures of the plugin."""
    cancel(1)
    found = outbox.assert_published("/topic/order.cancelled.v1", body={"id": 1}, count=1)
    assert_type(found, list[WrittenMessage])
    outbox.assert_nothing_published("/topic/other")
    delivered = deliver(bill_order, "/topic/order.cancelled.v1", "billing", broker=outbox_broker, raise_errors=False)
    assert_type(delivered, Delivered)
    assert_type(delivered.outcomes, list[str])


def test_what_is_written() -> None:
    """The block and the assertion."""
    with capture_outbox() as outbox, assert_outbox_statements(at_most=2):
        Order.objects.create(customer="Ada", amount=1)
    assert_type(outbox, CapturedOutbox)
    assert_type(outbox[0], WrittenMessage)
    assert_type(outbox.bodies(), list[Any])
    assert_published("/topic/order.placed.v1", headers={"color": "red"}, exact=True, messages=outbox, using="default")


def test_a_callback() -> None:
    """A payload by hand."""
    payload: Payload = make_payload({"id": 1}, {"dop-msg-id": "a"}, queue="billing")
    bill_order(payload)
    connection: FakeConnection = payload.connection
    assert_type(connection.sent, list[tuple[str, str]])


def test_the_relay() -> None:
    """The broker in memory, alone and behind a port."""
    broker = MemoryBroker(refuses={"/queue/forbidden"}, remembers=True)
    relayed = run_relay(broker, using="default")
    assert_type(relayed, Relayed)
    assert_type(relayed.errors, dict[str, str])
    MemoryTransport(broker).connect()
    with MemoryStompServer(broker) as server:
        assert_type(server.settings, dict[str, Any])


def mistakes() -> None:
    """What the types catch."""
    assert_published("/topic/x", bodies={})  # type: ignore[call-arg]
    deliver("billing.callbacks.bill_order", "/topic/x")  # type: ignore[arg-type]
    MemoryBroker(refuse={"/queue/x"})  # type: ignore[call-arg]
    run_relay(MemoryStompServer())  # type: ignore[arg-type]
