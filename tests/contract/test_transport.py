"""What the relay may rely on, whatever broker is behind the transport."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

import pytest

from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.transport.base import Patience, Unsettled
from tests.contract.brokers import WRONG, message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_outbox.transport.base import Outgoing, Transport
    from tests.contract.brokers import BlockableBroker, BrokerUnderTest


def _good(broker: BrokerUnderTest, destination: str | None = None, body: str = "{}", **headers: str) -> Outgoing:
    return message(destination or broker.good(), body, **{**broker.sends_with, **headers})


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
    messages = [_good(broker, destination, json.dumps({"n": number})) for number in range(300)]
    report = transport.send(messages, _patience())
    assert report.unsettled is None
    assert report.confirmed.keys() == {message.key for message in messages}
    assert all(seconds >= 0 for seconds in report.confirmed.values())
    assert broker.bodies(destination) == [message.body for message in messages]


def test_an_empty_batch_is_settled(transport: Transport) -> None:
    report = transport.send([], _patience())
    assert (report.confirmed, report.refused, report.unsettled) == ({}, {}, None)


def test_a_refused_message_is_named_and_its_neighbours_are_confirmed_or_known_to_be_open(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    before, refused, after = _good(broker), broker.refused(), _good(broker)
    report = transport.send([before, refused, after], _patience())
    assert report.refused.keys() == {refused.key}
    assert report.refused[refused.key]
    assert before.key in report.confirmed
    if broker.goes_on:
        assert (after.key in report.confirmed, report.unsettled) == (True, None)
        assert transport.is_connected()
    else:
        assert after.key in report.confirmed or report.unsettled is Unsettled.CONNECTION_LOST


def test_a_message_that_costs_the_connection_leaves_the_batch_unsettled(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    deadly = broker.deadly()
    report = transport.send([deadly, _good(broker)], _patience())
    assert report.unsettled is Unsettled.CONNECTION_LOST
    assert report.detail
    assert deadly.key not in report.confirmed
    # Artemis names it; no broker has a neighbour blamed.
    assert report.refused.keys() <= {deadly.key}
    assert not transport.is_connected()


def test_silence_ends_with_patience_and_closes_the_connection(broker: BrokerUnderTest, transport: Transport) -> None:
    unanswered = _good(broker)
    with broker.silent():
        report = transport.send([unanswered], _patience(1))
    assert report.unsettled is Unsettled.TIMEOUT
    assert report.confirmed == {}
    assert not transport.is_connected()


def test_a_broker_that_reads_nothing_is_told_from_one_that_has_nothing_to_say(blockable: BlockableBroker) -> None:
    transport, destination = blockable.transport(), blockable.good()
    transport.connect()
    assert transport.is_answered(_patience())
    with blockable.blocked():
        first = transport.send([message(destination)], _patience())
        second = transport.send([message(destination)], _patience(1))
        assert (len(first.confirmed), first.blocked) == (1, False)
        assert (second.confirmed, second.blocked) == ({}, True)
        transport.connect()
        assert transport.send([message(destination)], _patience()).confirmed
        assert not transport.is_answered(_patience(1))
    assert transport.is_answered(_patience(30))
    assert transport.send([message(destination)], _patience()).confirmed
    transport.close()


def test_waiting_ends_early_when_there_is_less_time_than_was_thought(
    broker: BrokerUnderTest, transport: Transport
) -> None:
    unanswered, began = _good(broker), time.monotonic()
    with broker.silent():
        report = transport.send([unanswered], Patience(deadline=began + 60, limit=lambda: began + 0.5))
    assert report.unsettled is Unsettled.TIMEOUT
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "headers", [{"a\nb": "c"}, {"a:b": "c"}, {"": "c"}, {"a": "c\0d"}, {"a": "\ud800"}, {"transaction": "7"}]
)
def test_headers_that_no_frame_can_say_are_refused_without_harm(
    broker: BrokerUnderTest, transport: Transport, headers: dict[str, str]
) -> None:
    good, bad = _good(broker), _good(broker, **headers)
    report = transport.send([bad, good], _patience())
    assert report.refused.keys() == {bad.key}
    assert report.confirmed.keys() == {good.key}


def test_a_connection_can_be_opened_again_after_a_loss(broker: BrokerUnderTest, transport: Transport) -> None:
    transport.send([broker.deadly()], _patience())
    transport.connect()
    good = _good(broker)
    assert transport.send([good], _patience()).confirmed.keys() == {good.key}


def test_sending_without_a_connection_is_reported_and_not_raised(broker: BrokerUnderTest) -> None:
    report = broker.transport().send([_good(broker)], _patience())
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
        report = transport.send([message("good")], _patience(5))
        assert report.unsettled is Unsettled.CONNECTION_LOST
        assert not transport.is_connected()
    finally:
        broker.come_back()


def test_a_refused_login_is_not_mistaken_for_an_outage(broker: BrokerUnderTest) -> None:
    transport = broker.transport(passcode=WRONG)
    with pytest.raises(BrokerRefused) as caught:
        _log_in(transport, broker.login_attempts)
    assert WRONG not in str(caught.value)
    assert WRONG not in repr(transport)


def _log_in(transport: Transport, attempts: int) -> None:
    """Connect; all attempts but the last may find the broker unavailable."""
    for _attempt in range(1, attempts):
        with contextlib.suppress(BrokerUnavailable):
            transport.connect()
            return
    transport.connect()
