"""A RabbitMQ with a TLS port; a module of tests says by `CLIENT_REQUIRED` who has to show a certificate."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.contract.tls.secured import Trust
from tests.rig.certificates import Authority
from tests.rig.hostservices import TlsListener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.hostservices import RabbitMQ


@pytest.fixture(scope="session")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Trust:
    """The certificates of this run."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder, "authority")
    names = ("DNS:localhost",)
    return Trust(
        authority=authority,
        server=authority.issue("server", "/CN=broker", names=names),
        expired=authority.issue("expired", "/CN=broker", names=names, days=-1),
        client=authority.issue("client", "/CN=worker"),
        stranger=Authority(folder, "stranger"),
    )


@pytest.fixture(scope="module")
def broker(request: pytest.FixtureRequest, rabbitmq_second: RabbitMQ, trust: Trust) -> RabbitMQ:
    """The broker, started anew with the listener of this module; who comes later does not mind one port more."""
    rabbitmq_second.tls = TlsListener(trust.server, trust.authority.pair.certificate, request.module.CLIENT_REQUIRED)
    rabbitmq_second.restart()
    return rabbitmq_second


@pytest.fixture
def queue(broker: RabbitMQ) -> Iterator[str]:
    """A durable queue."""
    name = f"tls-{uuid.uuid4().hex[:12]}"
    broker.declare_queue(name)
    yield name
    broker.delete_queue(name)
