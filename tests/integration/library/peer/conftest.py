"""Databases that real releases of django-outbox-pattern made, and its workers beside ours."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.peer.peer import Peer, installed
from tests.integration.library.publish.publisher import Database
from tests.rig.peers import LAST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.rig.hostservices import Postgres, RabbitMQ

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave these tests time to install the releases: whichever comes first does it, from the package index."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """An empty database of its own."""
    database = Database(postgres, f"peer_{uuid.uuid4().hex[:12]}")
    postgres.create_database(database.name)
    yield database
    postgres.drop_database(database.name)


@pytest.fixture
def make_peer(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Make a project on a release; what it started and did not end is ended after the test."""
    made: list[Peer] = []

    def make(release: str, database: dict[str, Any], broker: RabbitMQ | None = None) -> Peer:
        installed(release)
        made.append(Peer(release, database, tmp_path, broker))
        return made[-1]

    yield make
    for peer in made:
        for worker in peer.running:
            worker.end()


@pytest.fixture
def peer(make_peer: Callable[..., Peer], database: Database, rabbitmq: RabbitMQ) -> Peer:
    """The last release, with its tables made."""
    peer = make_peer(LAST, database.django, rabbitmq)
    peer.migrate()
    return peer
