"""``manage.py publish``: what it accepts, and what it says when it cannot work."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.test import override_settings

from django_outbox import store
from django_outbox.management.commands import publish
from django_outbox.models import Published
from django_outbox.relay import Relay
from django_outbox.transport.memory import MemoryBroker, MemoryTransport

pytestmark = pytest.mark.django_db


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    """A broker in memory behind the command, which stops when nothing is left to send."""
    broker = MemoryBroker()
    monkeypatch.setattr(publish, "StompTransport", lambda: MemoryTransport(broker))
    really_publish = Relay._publish_or_wait

    def publish_once(relay: Relay) -> None:
        really_publish(relay)
        relay.stop.set()

    monkeypatch.setattr(Relay, "_publish_or_wait", publish_once)
    return broker


def test_the_command_publishes_and_ends_when_asked_to(broker: MemoryBroker) -> None:
    Published.objects.create(destination="good", body={"some": "data"})
    call_command("publish")
    assert broker.bodies("good") == ['{"some": "data"}']


def test_options_win_over_settings(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(Relay, "run", lambda relay: seen.append(relay.options) or 0)
    with override_settings(DJANGO_OUTBOX_PATTERN={"PUBLISH_BATCH_SIZE": 7}):
        call_command("publish")
        call_command("publish", batch_size=9)
    assert [options.batch_size for options in seen] == [7, 9]


def test_the_exit_code_of_the_relay_is_the_commands(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relay, "run", lambda _relay: 2)
    with pytest.raises(SystemExit) as caught:
        call_command("publish")
    assert caught.value.code == 2


def test_a_wrong_setting_is_said_in_one_line(broker: MemoryBroker) -> None:
    own = {"DEFAULT_STOMP_HOST_AND_PORTS": "rabbitmq:61613"}
    with (
        override_settings(DJANGO_OUTBOX_PATTERN=own),
        pytest.raises(CommandError, match="DEFAULT_STOMP_HOST_AND_PORTS") as caught,
    ):
        call_command("publish")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"), [({"batch_size": 0}, "--batch-size"), ({"database": "nowhere"}, "--database")]
)
def test_a_wrong_option_is_named(broker: MemoryBroker, options: dict[str, Any], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("publish", **options)


def test_a_login_that_is_refused_at_the_start_is_a_configuration_error(broker: MemoryBroker) -> None:
    broker.refuses_login = True
    with pytest.raises(CommandError, match="refuses the login"):
        call_command("publish")


def test_a_database_that_is_not_migrated_is_a_configuration_error(broker: MemoryBroker) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE published")
    with pytest.raises(CommandError, match=r"manage\.py migrate"):
        call_command("publish")


def test_a_database_that_is_away_at_the_start_is_waited_for(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_using: str) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(store, "schema_problem", away)
    call_command("publish")
    assert broker.connects == 1


def test_a_metrics_port_that_is_taken_is_a_configuration_error(broker: MemoryBroker) -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("0.0.0.0", 0)) as taken, pytest.raises(CommandError, match="--metrics-port"):
        call_command("publish", metrics_port=taken.getsockname()[1])


def test_a_publisher_without_a_port_serves_nothing(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish, "WorkerServer", lambda *_args: pytest.fail("no server was asked for"))
    call_command("publish")


def test_a_port_in_the_settings_is_served(broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[int] = []
    real = publish.WorkerServer
    monkeypatch.setattr(publish, "WorkerServer", lambda health, port: served.append(port) or real(health, port))
    with override_settings(DJANGO_OUTBOX_PATTERN={"METRICS_PORT": 0}):
        call_command("publish")
    assert served == [0]


def test_the_backlog_is_exported_while_the_publisher_runs(
    broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported: list[Any] = []
    really_export = publish.metrics.export_backlog
    monkeypatch.setattr(
        publish.metrics, "export_backlog", lambda read: exported.append(really_export(read)) or exported[-1]
    )
    call_command("publish", metrics_port=0)
    assert exported
    assert exported[0] not in publish.REGISTRY._collector_to_names
