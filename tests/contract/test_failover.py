"""Several brokers in the settings: they are tried in their order, and one that takes the login is enough."""

from __future__ import annotations

import json
import socket
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from django.test import override_settings

from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.link import Link
from django_outbox.testing import MemoryStompServer
from django_outbox.transport.base import Outgoing, Patience
from django_outbox.transport.publishing import StompTransport

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def first() -> Iterator[MemoryStompServer]:
    """The broker that the settings name first."""
    with MemoryStompServer() as server:
        yield server


@pytest.fixture
def second() -> Iterator[MemoryStompServer]:
    """The other one."""
    with MemoryStompServer() as server:
        yield server


@pytest.fixture
def transport(first: MemoryStompServer, second: MemoryStompServer) -> Iterator[StompTransport]:
    """A transport that may go to both, not connected."""
    with _hosts((first.host, first.port), (second.host, second.port)):
        transport = StompTransport()
        yield transport
        transport.close()


def _hosts(*hosts: tuple[str, int]) -> override_settings:
    return override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_HOST_AND_PORTS": list(hosts)})


def _confirmed(transport: StompTransport) -> int:
    message = Outgoing(uuid.uuid4(), "/queue/orders", json.dumps({}), {"persistent": "true"})
    return len(transport.send([message], Patience(deadline=time.monotonic() + 10)).confirmed)


def test_the_first_one_is_used_while_it_answers(transport: StompTransport, first: MemoryStompServer) -> None:
    transport.connect()
    assert transport.host == f"{first.host}:{first.port}"


def test_the_second_one_takes_over_from_one_that_is_not_there(second: MemoryStompServer) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # and nobody listens
        with _hosts(reserved.getsockname(), (second.host, second.port)):
            transport = StompTransport()
            transport.connect()
            assert transport.host == f"{second.host}:{second.port}"
            assert _confirmed(transport) == 1
            transport.close()


def test_the_second_one_takes_over_from_one_that_closes_without_a_word(
    transport: StompTransport, first: MemoryStompServer, second: MemoryStompServer
) -> None:
    first.broker.is_down = True
    transport.connect()
    assert transport.host == f"{second.host}:{second.port}"
    assert _confirmed(transport) == 1


def test_the_second_one_takes_over_from_one_that_refuses_the_login(
    transport: StompTransport, first: MemoryStompServer, second: MemoryStompServer
) -> None:
    first.broker.refuses_login = True
    transport.connect()
    assert transport.host == f"{second.host}:{second.port}"
    assert _confirmed(transport) == 1


def test_a_loss_is_followed_by_the_second_one_and_a_later_loss_by_the_first_again(
    transport: StompTransport, first: MemoryStompServer, second: MemoryStompServer
) -> None:
    transport.connect()
    first.go_down()
    assert _confirmed(transport) == 0
    transport.connect()
    assert _confirmed(transport) == 1
    first.come_back()
    second.go_down()
    assert _confirmed(transport) == 0
    transport.connect()
    assert transport.host == f"{first.host}:{first.port}"
    assert _confirmed(transport) == 1


def test_a_subscriber_goes_to_the_second_one_and_hears_nothing_of_the_first(
    first: MemoryStompServer, second: MemoryStompServer
) -> None:
    first.broker.refuses_login = True
    link = Link(lambda delivery: None)
    with _hosts((first.host, first.port), (second.host, second.port)):
        link.open()
    assert link.host == f"{second.host}:{second.port}"
    assert link.failure is None
    assert link.is_connected()
    link.close()


def test_when_none_can_be_reached_each_is_named(
    transport: StompTransport, first: MemoryStompServer, second: MemoryStompServer
) -> None:
    first.broker.is_down = second.broker.is_down = True
    with pytest.raises(BrokerUnavailable) as caught:
        transport.connect()
    assert str(first.port) in str(caught.value)
    assert str(second.port) in str(caught.value)


def test_a_refused_login_is_said_even_when_the_other_is_only_down(
    transport: StompTransport, first: MemoryStompServer, second: MemoryStompServer
) -> None:
    first.broker.is_down = True
    second.broker.refuses_login = True
    with pytest.raises(BrokerRefused, match="DEFAULT_STOMP_PASSCODE"):
        transport.connect()
