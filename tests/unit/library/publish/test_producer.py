"""Sending straight to the broker, for what need not survive a failure."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.test import override_settings
from stomp.exception import ConnectFailedException, NotConnectedException

from django_outbox import producers
from django_outbox.exceptions import BrokerUnavailable, ExceededSendAttemptsException
from django_outbox.models import Published
from django_outbox.producers import Producer


class Connection:
    """A connection whose broker answers each SEND as the test says: True confirms, an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[dict[str, Any]] = []
        self.connects = 0
        self.credentials: dict[str, Any] = {}
        self.listeners: dict[str, Any] = {}
        self.transport = SimpleNamespace(disconnect_socket=self.disconnect)
        self._connected = False

    def connect(self, wait: bool, **credentials: Any) -> None:
        self.connects += 1
        self.credentials = credentials
        self._connected = True

    def disconnect(self) -> None:
        self._connected = False

    def is_connected(self) -> bool:
        return self._connected

    def set_listener(self, name: str, listener: Any) -> None:
        self.listeners[name] = listener

    def send(self, **arguments: Any) -> None:
        self.sent.append(arguments)
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        receipt = arguments["headers"]["receipt"]
        for listener in self.listeners.values():
            if answer is True:
                listener.on_receipt(SimpleNamespace(headers={"receipt-id": receipt}))
            else:
                listener.on_error(SimpleNamespace(headers={"message": answer}, body=""))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producers, "PAUSE_SECONDS", 0)


def _producer(connection: Any) -> Producer:
    return Producer(connection, "user", "secret")


def test_an_event_is_sent_persistent_with_the_callers_headers_and_a_receipt() -> None:
    connection = Connection()
    with _producer(connection) as producer:
        assert producer.send_event(destination="/topic/x", body={"a": 1}, headers={"tenant": "t"}) == 0
    [sent] = connection.sent
    assert (sent["destination"], json.loads(sent["body"])) == ("/topic/x", {"a": 1})
    assert sent["headers"]["persistent"] == "true"
    assert sent["headers"]["tenant"] == "t"
    assert sent["headers"]["receipt"]
    assert connection.credentials == {"username": "user", "passcode": "secret"}
    assert not connection.is_connected()


def test_the_callers_headers_are_not_changed() -> None:
    headers = {"tenant": "t"}
    with _producer(Connection()) as producer:
        producer.send_event({}, "/topic/x", headers=headers)
    assert headers == {"tenant": "t"}


@pytest.mark.parametrize("failure", [NotConnectedException(), BrokenPipeError(32, "Broken pipe"), "the broker said no"])
def test_a_failed_send_is_repeated_on_a_new_connection(failure: Any) -> None:
    connection = Connection(failure)
    with _producer(connection) as producer:
        assert producer.send_event({}, "/topic/x") == 1
    assert len(connection.sent) == 2
    assert connection.connects == 2


def test_three_failed_sends_raise_instead_of_holding_the_caller_for_minutes() -> None:
    connection = Connection(*["no"] * 5)
    with _producer(connection) as producer, pytest.raises(ExceededSendAttemptsException) as caught:
        producer.send_event({}, "/topic/x")
    assert caught.value.attempts == 3
    assert str(caught.value) == "Exceeded send attempts: 3"
    assert len(connection.sent) == 3


def test_a_project_may_allow_fewer_sends() -> None:
    connection = Connection(*["no"] * 5)
    with (
        override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 1}),
        _producer(connection) as producer,
        pytest.raises(ExceededSendAttemptsException),
    ):
        producer.send_event({}, "/topic/x")
    assert len(connection.sent) == 1


def test_a_broker_that_does_not_answer_counts_as_a_failed_send() -> None:
    connection = Connection()
    connection.set_listener = lambda *_: None  # type: ignore[method-assign]
    with (
        override_settings(DJANGO_OUTBOX_PATTERN={"RECEIPT_TIMEOUT": 0.01}),
        _producer(connection) as producer,
        pytest.raises(ExceededSendAttemptsException),
    ):
        producer.send_event({}, "/topic/x")


def test_a_broker_that_cannot_be_reached_raises_after_three_attempts() -> None:
    connection = mock.Mock()
    connection.is_connected.return_value = False
    connection.connect.side_effect = ConnectFailedException
    with pytest.raises(BrokerUnavailable, match="outbox"):
        _producer(connection).start()
    assert connection.connect.call_count == 3


def test_a_row_is_sent_with_its_headers_and_left_as_it_is() -> None:
    message = Published(destination="/topic/x", body={"a": 1}, headers={"tenant": "t"})
    connection = Connection()
    with _producer(connection) as producer:
        assert producer.send(message) == 0
    assert connection.sent[0]["headers"]["tenant"] == "t"
    assert json.loads(connection.sent[0]["body"]) == {"a": 1}
    assert message._state.adding


def test_what_is_sent_may_be_overridden_per_call() -> None:
    message = Published(destination="/topic/x", body={"a": 1})
    connection = Connection()
    with _producer(connection) as producer:
        producer.send(message, destination="/topic/y", body="raw")
    assert (connection.sent[0]["destination"], connection.sent[0]["body"]) == ("/topic/y", "raw")


def test_stopping_a_producer_whose_connection_is_gone_is_fine() -> None:
    connection = mock.Mock()
    connection.disconnect.side_effect = NotConnectedException
    _producer(connection).stop()
    assert connection.disconnect.called


def test_the_factory_makes_a_producer_without_heartbeats_on_a_connection_that_can_be_patched() -> None:
    with mock.patch("django_outbox_pattern.factories.factory_connection") as make:
        from django_outbox_pattern.factories import factory_producer  # noqa: PLC0415

        producer = factory_producer()
    make.assert_called_once_with(use_heartbeats=False)
    assert producer.connection is make.return_value
