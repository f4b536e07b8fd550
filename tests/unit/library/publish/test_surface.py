"""The public names of django-outbox-pattern 0.9.0 and 3.2.1, each with its parameters: a facts' list, walked."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

import django_outbox
from django_outbox import settings
from tests.unit.library.consume.doubles import Connection

PACKAGES = ("django_outbox", "django_outbox_pattern")

# Module, name in it, parameters. Ours may take more, with defaults; names and order of these stay.
CALLABLES = [
    ("bases", "Base", "connection username passcode"),
    ("bases", "Base.connect", "self"),
    ("bases", "Base.is_connected", "self"),
    ("bases", "Base.get_listener", "self name"),
    ("bases", "Base.set_listener", "self name listener"),
    ("bases", "Base.remove_listener", "self name"),
    ("bases", "Base._disconnect", "self"),
    ("bases", "Base._exponential_backoff", "self"),
    ("bases", "Base._wait", "self"),
    ("consumers", "Consumer", "connection username passcode"),
    ("consumers", "Consumer.start", "self callback destination queue_name"),
    ("consumers", "Consumer.stop", "self"),
    ("consumers", "Consumer.message_handler", "self body headers"),
    ("consumers", "Consumer.handle_incoming_message", "self body headers"),
    ("consumers", "_get_msg_id", "headers"),
    ("consumers", "_get_or_create_correlation_id", "headers"),
    ("decorators", "Config", "destination fields serializer version"),
    ("decorators", "publish", "configs"),
    ("exceptions", "ExceededSendAttemptsException", "attempts"),
    ("factories", "factory_connection", "use_heartbeats"),
    ("factories", "factory_consumer", ""),
    ("factories", "factory_producer", ""),
    ("headers", "generate_headers", "message"),
    ("headers", "get_message_headers", "published"),
    ("listeners", "BaseListener", "instance"),
    ("listeners", "ConsumerListener.on_message", "self frame"),
    ("listeners", "ConsumerListener.on_disconnected", "self"),
    ("listeners", "ProducerListener.on_disconnected", "self"),
    ("listeners", "ProducerListener.on_send", "self frame"),
    ("models", "_one_more_day", ""),
    ("payloads", "Payload", "connection body headers message"),
    ("payloads", "Payload.save", "self"),
    ("payloads", "Payload.ack", "self"),
    ("payloads", "Payload.nack", "self"),
    ("producers", "Producer", "connection username passcode"),
    ("producers", "Producer.__enter__", "self"),
    ("producers", "Producer.start", "self"),
    ("producers", "Producer.stop", "self"),
    ("producers", "Producer.send", "self message"),
    ("producers", "Producer.send_event", "self body destination"),
    ("producers", "Producer.publish_message_from_database", "self"),
    ("producers", "Producer._send_with_retry", "self"),
]
# Parts that nobody outside called and that have no counterpart: what they did happens elsewhere.
LEFT_OUT = [
    ("consumers", "Consumer._create_dlq_queue"),
    ("consumers", "Consumer._create_queue"),
    ("consumers", "Consumer._process_message_with_retry"),
    ("consumers", "Consumer._remove_old_messages"),
    ("producers", "Producer._remove_old_messages"),
    ("producers", "Producer._waiting"),
]
ATTRIBUTES = {
    "Consumer": "attempts callback connection destination listener_class listener_name queue_name received_class "
    "subscribe_headers subscribe_id",
    "Producer": "attempts connection listener_class listener_name published_class",
}
PAYLOAD = "acked body connection headers message nacked saved"


def _found(package: str, module: str, name: str) -> Any:
    found = import_module(f"{package}.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("module", "name", "parameters"), CALLABLES)
def test_each_callable_takes_what_it_took(module: str, name: str, parameters: str) -> None:
    ours, old = (_found(package, module, name) for package in PACKAGES)
    assert ours is old
    taken = list(inspect.signature(ours).parameters.values())
    # Arguments are given by position and by name alike; only the name of an unused one may differ.
    wanted = parameters.split()
    assert [parameter.name for parameter in taken[: len(wanted)]] == wanted
    for further in taken[len(wanted) :]:
        assert further.default is not further.empty or further.kind in {further.VAR_POSITIONAL, further.VAR_KEYWORD}


@pytest.mark.parametrize(("module", "name"), LEFT_OUT)
def test_what_is_left_out_is_left_out_on_purpose(module: str, name: str) -> None:
    with pytest.raises(AttributeError):
        _found("django_outbox", module, name)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_worker_has_the_attributes_it_had(name: str) -> None:
    worker = _found("django_outbox", f"{name.lower()}s", name)(Connection(), "guest", "guest")
    assert [attribute for attribute in ATTRIBUTES[name].split() if not hasattr(worker, attribute)] == []


def test_a_payload_has_the_attributes_it_had() -> None:
    payload = _found("django_outbox", "payloads", "Payload")(Connection(), {}, {})
    assert [attribute for attribute in PAYLOAD.split() if not hasattr(payload, attribute)] == []


def test_constants_are_what_they_were() -> None:
    choices = _found("django_outbox_pattern", "choices", "StatusChoice")
    assert {choice.name: choice.value for choice in choices} == {"FAILED": -1, "SCHEDULE": 1, "SUCCEEDED": 2}
    assert _found("django_outbox", "factories", "USERNAME") == _found("django_outbox", "factories", "PASSCODE")


def test_both_commands_are_where_they_were() -> None:
    publish = _found("django_outbox_pattern", "management.commands.publish", "Command")
    subscribe = _found("django_outbox_pattern", "management.commands.subscribe", "Command")
    assert publish is _found("django_outbox", "management.commands.publish", "Command")
    parser = subscribe().create_parser("manage.py", "subscribe")
    given = parser.parse_args(["a.b", "/topic/c", "q"])
    assert (given.callback, given.destination, given.queue_name) == ("a.b", "/topic/c", "q")
    assert parser.parse_args(["a.b", "/topic/c"]).queue_name is None


# Each setting of 3.2.1 (and the one of 0.15 that was misspelled is in test_settings), with its default there.
SETTINGS: dict[str, Any] = {
    "DAYS_TO_KEEP_DATA": 30,
    "DEFAULT_CONNECTION_CLASS": "stomp.StompConnection12",
    "DEFAULT_CONSUMER_LISTENER_CLASS": "django_outbox_pattern.listeners.ConsumerListener",
    "DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS": 3,
    "DEFAULT_CONSUMER_PROCESS_MSG_ON_BACKGROUND": False,
    "DEFAULT_CONSUMER_RETRY_WAIT": 2,
    "DEFAULT_CONSUMER_SHUTDOWN_TIMEOUT": 90,
    "DEFAULT_EXCLUSIVE_QUEUE": False,
    "DEFAULT_GENERATE_HEADERS": "django_outbox_pattern.headers.generate_headers",
    "DEFAULT_MAXIMUM_BACKOFF": 3600,
    "DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 50,
    "DEFAULT_PAUSE_FOR_RETRY": 240,
    "DEFAULT_PRODUCER_LISTENER_CLASS": "django_outbox_pattern.listeners.ProducerListener",
    "DEFAULT_PRODUCER_WAITING_TIME": 1,
    "DEFAULT_PUBLISHED_CHUNK_SIZE": 200,
    "DEFAULT_PUBLISHED_CLASS": "django_outbox_pattern.models.Published",
    "DEFAULT_RECEIVED_CLASS": "django_outbox_pattern.models.Received",
    "DEFAULT_STOMP_CA_CERTS": None,
    "DEFAULT_STOMP_CERT_FILE": None,
    "DEFAULT_STOMP_CERT_VALIDATOR": None,
    "DEFAULT_STOMP_HEARTBEATS": (10000, 10000),
    "DEFAULT_STOMP_HOST_AND_PORTS": [("127.0.0.1", 61613)],
    "DEFAULT_STOMP_KEY_FILE": None,
    "DEFAULT_STOMP_PASSCODE": "guest",
    "DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true", "auto-delete": "false", "prefetch-count": "1"},
    "DEFAULT_STOMP_SSL_PASSWORD": None,
    "DEFAULT_STOMP_SSL_VERSION": None,
    "DEFAULT_STOMP_USERNAME": "guest",
    "DEFAULT_STOMP_USE_SSL": False,
    "DEFAULT_STOMP_VHOST": "/",
    "DEFAULT_WAIT_RETRY": 60,
    "OUTBOX_PATTERN_CONSUMER_CACHE_KEY": "remove_old_messages_django_outbox_pattern_consumer",
    "OUTBOX_PATTERN_PUBLISHER_CACHE_KEY": "remove_old_messages_django_outbox_pattern_publisher",
    "REMOVE_DATA_CACHE_TTL": 86400,
}


@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_is_read_when_it_is_used(name: str) -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={}):
        assert getattr(settings, name) == SETTINGS[name]
    another = object()
    with override_settings(DJANGO_OUTBOX_PATTERN={name: another}):
        assert getattr(settings, name) is another
        assert getattr(import_module("django_outbox_pattern.settings"), name) is another


# Read through another: the older name of PUBLISH_BATCH_SIZE. And what is so whatever it says.
WITHOUT_A_READER = {"DEFAULT_PUBLISHED_CHUNK_SIZE", "DEFAULT_CONSUMER_PROCESS_MSG_ON_BACKGROUND"}


@pytest.mark.parametrize("name", sorted(SETTINGS.keys() - WITHOUT_A_READER))
def test_each_setting_is_read_somewhere(name: str) -> None:
    package = Path(inspect.getfile(django_outbox)).parent
    readers = [path for path in package.rglob("*.py") if path.name not in {"settings.py", "checks.py"}]
    assert any(re.search(rf"\b{name}\b", path.read_text()) for path in readers)
