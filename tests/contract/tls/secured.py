"""TLS to a broker that a test can try: certificates, a real listener that shows them, and the settings to reach it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from django_outbox.exceptions import BrokerRefused
from django_outbox.transport.base import Outgoing
from django_outbox.transport.publishing import StompTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.certificates import Authority, Pair
    from tests.rig.hostservices import RabbitMQ


@dataclass(frozen=True)
class Trust:
    """Who signs for whom: `server` names localhost only, `client` is of the authority that the broker trusts."""

    authority: Authority
    server: Pair
    expired: Pair
    client: Pair
    stranger: Authority


def tls_settings(
    broker: RabbitMQ, host: str = "localhost", port: int | None = None, **values: Any
) -> override_settings:
    """The settings of a project that reaches the broker's TLS port, with some of its own."""
    return override_settings(
        DJANGO_OUTBOX_PATTERN={
            "DEFAULT_STOMP_HOST_AND_PORTS": [(host, port or broker.stomp_tls_port)],
            "DEFAULT_STOMP_USERNAME": broker.username,
            "DEFAULT_STOMP_PASSCODE": broker.passcode,
            "DEFAULT_STOMP_USE_SSL": True,
            "RECEIPT_TIMEOUT": 2,
            **values,
        }
    )


def authorities(authority: Authority) -> dict[str, str]:
    """The setting that trusts whom this authority signed for."""
    return {"DEFAULT_STOMP_CA_CERTS": str(authority.pair.certificate)}


def client(pair: Pair) -> dict[str, str]:
    """The settings that show the broker this certificate."""
    return {"DEFAULT_STOMP_CERT_FILE": str(pair.certificate), "DEFAULT_STOMP_KEY_FILE": str(pair.key)}


def refusal() -> str:
    """What is said when no connection is made."""
    with pytest.raises(BrokerRefused) as caught:
        StompTransport().connect()
    return str(caught.value)


def connects() -> bool:
    """Whether a publisher gets in."""
    transport = StompTransport()
    transport.connect()
    connected = transport.is_connected()
    transport.close()
    return connected


def message(destination: str, body: str = "{}") -> Outgoing:
    """A message as the relay makes them."""
    return Outgoing(uuid.uuid4(), destination, body, {"persistent": "true"})


@contextmanager
def showing(pair: Pair) -> Iterator[int]:
    """A port that shows this certificate and says no more; a broker need not be started anew to see it refused."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("localhost", 0)) as listener:
        threading.Thread(target=_shake_hands, args=(listener, context), daemon=True).start()
        yield listener.getsockname()[1]


def _shake_hands(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError):
        wire, _ = listener.accept()
        context.wrap_socket(wire, server_side=True).close()
