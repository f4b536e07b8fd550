"""What the relay may rely on, whatever broker is behind the transport."""

from __future__ import annotations

import json
import time
import uuid
from typing import TYPE_CHECKING

import pytest

from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.transport.base import Outgoing, Patience, Unsettled
from tests.contract.brokers import WRONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_outbox.transport.base import Transport
    from tests.contract.brokers import BrokerUnderTest


def _message(destination: str, body: str = "{}", **headers: str) -> Outgoing:
    return Outgoing(uuid.uuid4(), destination, body, {"persistent": "true", **headers})


def _patience(seconds: float = 10) -> Patience:
    return Patience(deadline=time.monotonic() + seconds)


@pytest.fixture
def transport(broker: BrokerUnderTest) -> Iterator[Transport]:
    """A connected transport."""
    transport = broker.transport()
    transport.connect()
    yield transport
    transport.close()


def test_every_message_of_a_batch_is_confirmed_and_arrives_in_order(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    destination = broker.good()
    messages = [_message(destination, json.dumps({"n": number})) for number in range(300)]
    report = transport.send(messages, _patience())
    assert report.unsettled is None
    assert report.confirmed.keys() == {message.key for message in messages}
    assert all(seconds >= 0 for seconds in report.confirmed.values())
    assert broker.bodies(destination) == [message.body for message in messages]


def test_an_empty_batch_is_settled(transport: Transport) -> None:
    report = transport.send([], _patience())
    assert (report.confirmed, report.refused, report.unsettled) == ({}, {}, None)


def test_a_refused_message_is_named_and_its_neighbours_are_confirmed(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    before, refused, after = _message(broker.good()), _message(broker.refused()), _message(broker.good())
    report = transport.send([before, refused, after], _patience())
    assert report.refused.keys() == {refused.key}
    assert report.refused[refused.key]
    assert report.confirmed.keys() == {before.key, after.key}
    assert report.unsettled is None
    assert transport.is_connected()


def test_a_message_that_costs_the_connection_leaves_the_batch_unsettled(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    deadly = _message(broker.deadly())
    report = transport.send([deadly, _message(broker.good())], _patience())
    assert report.unsettled is Unsettled.CONNECTION_LOST
    assert report.detail
    assert deadly.key not in report.confirmed
    assert deadly.key not in report.refused
    assert not transport.is_connected()


def test_silence_ends_with_patience_and_closes_the_connection(broker: BrokerUnderTest, transport: Transport) -> None:
    message = _message(broker.good())
    with broker.silent():
        report = transport.send([message], _patience(1))
    assert report.unsettled is Unsettled.TIMEOUT
    assert report.confirmed == {}
    assert not transport.is_connected()


def test_a_broker_that_reads_nothing_is_told_from_one_that_has_nothing_to_say(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    destination = broker.good()
    assert transport.is_answered(_patience())
    with broker.blocked():
        first = transport.send([_message(destination)], _patience())
        second = transport.send([_message(destination)], _patience(1))
        assert (len(first.confirmed), first.blocked) == (1, False)
        assert (second.confirmed, second.blocked) == ({}, True)
        transport.connect()
        assert transport.send([_message(destination)], _patience()).confirmed
        assert not transport.is_answered(_patience(1))
    assert transport.is_answered(_patience(30))
    assert transport.send([_message(destination)], _patience()).confirmed


def test_waiting_ends_early_when_there_is_less_time_than_was_thought(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    message, began = _message(broker.good()), time.monotonic()
    with broker.silent():
        report = transport.send([message], Patience(deadline=began + 60, limit=lambda: began + 0.5))
    assert report.unsettled is Unsettled.TIMEOUT
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "headers", [{"a\nb": "c"}, {"a:b": "c"}, {"": "c"}, {"a": "c\0d"}, {"a": "\ud800"}, {"transaction": "7"}]
)
def test_headers_that_no_frame_can_say_are_refused_without_harm(
    broker: BrokerUnderTest, transport: Transport, headers: dict[str, str]
) -> None:
    good, bad = _message(broker.good()), _message(broker.good(), **headers)
    report = transport.send([bad, good], _patience())
    assert report.refused.keys() == {bad.key}
    assert report.confirmed.keys() == {good.key}


def test_a_connection_can_be_opened_again_after_a_loss(broker: BrokerUnderTest, transport: Transport) -> None:
    transport.send([_message(broker.deadly())], _patience())
    transport.connect()
    message = _message(broker.good())
    assert transport.send([message], _patience()).confirmed.keys() == {message.key}


def test_sending_without_a_connection_is_reported_and_not_raised(broker: BrokerUnderTest) -> None:
    report = broker.transport().send([_message(broker.good())], _patience())
    assert report.unsettled is Unsettled.CONNECTION_LOST


def test_closing_twice_is_fine(transport: Transport) -> None:
    transport.close()
    transport.close()
    assert not transport.is_connected()


def test_a_broker_that_is_down_is_unavailable(broker: BrokerUnderTest) -> None:
    transport = broker.transport()
    broker.go_down()
    try:
        with pytest.raises(BrokerUnavailable):
            transport.connect()
    finally:
        broker.come_back()
    transport.connect()
    assert transport.is_connected()
    transport.close()


def test_a_broker_that_goes_down_is_noticed(broker: BrokerUnderTest, transport: Transport) -> None:
    broker.go_down()
    try:
        report = transport.send([_message("good")], _patience(5))
        assert report.unsettled is Unsettled.CONNECTION_LOST
        assert not transport.is_connected()
    finally:
        broker.come_back()


def test_a_refused_login_is_not_mistaken_for_an_outage(broker: BrokerUnderTest) -> None:
    transport = broker.transport(passcode=WRONG)
    with pytest.raises(BrokerRefused) as caught:
        transport.connect()
    assert WRONG not in str(caught.value)
    assert WRONG not in repr(transport)
