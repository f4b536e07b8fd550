"""Databases that real releases of django-outbox-pattern made, and its workers beside ours."""

from __future__ import annotations

import os
import uuid
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.peer.peer import Peer
from tests.integration.library.publish.publisher import Database
from tests.rig.peers import LAST, peer_python
from tests.rig.waiting import MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.rig.hostservices import Postgres, RabbitMQ


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    """An empty database of its own."""
    database = Database(postgres, f"peer_{uuid.uuid4().hex[:12]}")
    postgres.create_database(database.name)
    yield database
    postgres.drop_database(database.name)


@pytest.fixture(params=["postgresql", "sqlite"])
def any_database(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """The entry of DATABASES of an empty database, on each kind of server in turn."""
    if request.param == "sqlite":
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "database.sqlite3")}
    return dict(request.getfixturevalue("database").django)


@pytest.fixture
def unused_broker() -> Any:
    """What stands in for a broker where none is spoken to."""
    return SimpleNamespace(host="127.0.0.1", stomp_port=1, username="", passcode="")


@pytest.fixture
def make_peer(tmp_path: Path) -> Iterator[Callable[..., Peer]]:
    """Make a project on a release; what it started and did not end is ended after the test."""
    made: list[Peer] = []

    def make(release: str, database: dict[str, Any], broker: RabbitMQ | None = None) -> Peer:
        _installed(release)
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


def _installed(release: str) -> None:
    try:
        peer_python(release)
    except MissingProgramError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
