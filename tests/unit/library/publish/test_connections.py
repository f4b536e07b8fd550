"""A connection is made as the settings describe it, and keeps its credentials to itself."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
import stomp
from django.test import override_settings

from django_outbox import bases, factories
from django_outbox.exceptions import BrokerUnavailable, ConfigurationError
from django_outbox.transport import stomp as transport_stomp
from django_outbox.transport.stomp import build_connection, open_connection

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = [("one", 61613), ("two", 61614)]


class Recording:
    """A connection class of a project's own, with fewer options than stomp.py's."""

    made: dict[str, Any] = {}
    tls: dict[str, Any] | None = None

    def __init__(self, host_and_ports: Any, vhost: str, heartbeats: tuple[int, int] = (0, 0)) -> None:
        Recording.made = {"host_and_ports": host_and_ports, "vhost": vhost, "heartbeats": heartbeats}
        Recording.tls = None

    def set_ssl(self, **arguments: Any) -> None:
        Recording.tls = arguments


def _configured(**values: Any) -> override_settings:
    path = f"{__name__}.Recording"
    return override_settings(
        DJANGO_OUTBOX_PATTERN={
            "DEFAULT_CONNECTION_CLASS": path,
            "DEFAULT_STOMP_HOST_AND_PORTS": HOSTS,
            "DEFAULT_STOMP_VHOST": "shop",
            **values,
        }
    )


def test_the_factory_makes_a_connection_of_the_configured_class() -> None:
    with _configured(DEFAULT_STOMP_HEARTBEATS=(5000, 6000)):
        connection = factories.factory_connection()
    assert isinstance(connection, Recording)
    assert Recording.made == {"host_and_ports": HOSTS, "vhost": "shop", "heartbeats": (5000, 6000)}
    assert Recording.tls is None


def test_a_connection_without_heartbeats_is_asked_for_none() -> None:
    with _configured():
        factories.factory_connection(use_heartbeats=False)
    assert Recording.made["heartbeats"] == (0, 0)


def test_options_that_a_class_does_not_know_are_left_out() -> None:
    with _configured():
        build_connection((0, 0), timeout=3, reconnect_attempts_max=1)
    assert "timeout" not in Recording.made


def test_tls_is_set_for_every_host_and_only_what_is_configured(tmp_path: Path) -> None:
    authorities = tmp_path / "ca.pem"
    authorities.write_text("")
    with _configured(DEFAULT_STOMP_USE_SSL=True, DEFAULT_STOMP_CA_CERTS=str(authorities)):
        factories.factory_connection()
    assert Recording.tls == {"for_hosts": HOSTS, "ca_certs": str(authorities)}


def test_a_certificate_file_that_is_not_there_is_a_configuration_error() -> None:
    with (
        _configured(DEFAULT_STOMP_USE_SSL=True, DEFAULT_STOMP_CERT_FILE="/nowhere/client.pem"),
        pytest.raises(ConfigurationError, match=r"DEFAULT_STOMP_CERT_FILE.*/nowhere/client\.pem"),
    ):
        factories.factory_connection()


def test_the_factories_credentials_are_read_when_they_are_used() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_USERNAME": "shop"}):
        assert factories.USERNAME == "shop"
    assert factories.PASSCODE == "guest"
    with pytest.raises(AttributeError):
        factories.NOTHING  # noqa: B018


def test_nobody_listening_is_unavailable_with_the_address_and_without_the_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        own = {"DEFAULT_STOMP_HOST_AND_PORTS": [("127.0.0.1", port)], "DEFAULT_STOMP_PASSCODE": "very-secret"}
        with override_settings(DJANGO_OUTBOX_PATTERN=own), pytest.raises(BrokerUnavailable) as caught:
            open_connection("publisher")
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "very-secret" not in str(caught.value)


def test_a_broker_that_accepts_and_says_nothing_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_stomp, "ANSWER_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        own = {"DEFAULT_STOMP_HOST_AND_PORTS": [("127.0.0.1", silent.getsockname()[1])]}
        with override_settings(DJANGO_OUTBOX_PATTERN=own), pytest.raises(BrokerUnavailable, match="no answer"):
            open_connection("publisher")


def test_a_broker_that_is_quiet_for_longer_than_connecting_may_take_is_not_taken_for_dead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport_stomp, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []

        def accept() -> None:
            client, _ = server.accept()
            accepted.append(client)
            client.recv(4096)
            client.sendall(b"CONNECTED\nversion:1.2\n\n\0")

        thread = threading.Thread(target=accept)
        thread.start()
        own = {"DEFAULT_STOMP_HOST_AND_PORTS": [("127.0.0.1", server.getsockname()[1])]}
        with override_settings(DJANGO_OUTBOX_PATTERN=own):
            opened = open_connection("publisher", heartbeats=(0, 0))
        thread.join()
        assert not opened.watch.lost.wait(1), "nothing happened for five times as long, and nothing is wrong"
        assert opened.is_connected()
        opened.close(timeout=0)
        accepted[0].close()


@pytest.mark.parametrize("attempts", [1, 5, 12, 10_000])
def test_waits_between_attempts_to_connect_grow_up_to_a_bound(attempts: int) -> None:
    assert min(2 ** min(attempts, 12), 3600) <= bases.backoff_seconds(attempts) <= 3600
    assert 2 <= bases.worker_backoff_seconds(attempts) <= 30
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_MAXIMUM_BACKOFF": 1}):
        assert bases.worker_backoff_seconds(attempts) == bases.backoff_seconds(attempts) == 1


def test_the_default_class_is_stomps_newest_protocol() -> None:
    assert isinstance(build_connection(None), stomp.StompConnection12)
