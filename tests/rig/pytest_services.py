"""pytest plugin: real servers on free loopback ports as session fixtures, started when the first test wants one.

Whatever the collected tests want is started in the background at the beginning, so that nobody waits for one server
after the other. A server that is not installed is a failure in CI (`CI=true`), elsewhere a skip that names the missing
program.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.hostservices import ActiveMQ, Artemis, MariaDB, Postgres, RabbitMQ
from tests.rig.hostservices.pool import ServerPool
from tests.rig.waiting import MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator

# In the order in which they are started: the slowest first.
_KINDS = {
    "rabbitmq": RabbitMQ,
    "artemis": Artemis,
    "activemq": ActiveMQ,
    "mariadb": MariaDB,
    "postgres": Postgres,
    "rabbitmq_second": RabbitMQ,
}


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Iterator[ServerPool]:
    """Every server of this run; a test asks for one by the fixture of its name."""
    pool = ServerPool(_KINDS)
    pool.begin(name for name in _KINDS if any(name in _wanted(item) for item in request.session.items))
    yield pool
    pool.close()


def _wanted(item: pytest.Item) -> set[str]:
    """The servers of a test: by its fixtures, and by its parameters where those name one."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    parameters = {part for value in values if isinstance(value, str) for part in value.split("-")}
    return parameters | set(getattr(item, "fixturenames", ()))


def _server(pool: ServerPool, name: str) -> Any:
    try:
        return pool.get(name)
    except MissingProgramError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def rabbitmq(servers: ServerPool) -> RabbitMQ:
    """A RabbitMQ broker for the whole session; a test uses queue names of its own."""
    broker: RabbitMQ = _server(servers, "rabbitmq")
    return broker


@pytest.fixture(scope="session")
def rabbitmq_second(servers: ServerPool) -> RabbitMQ:
    """Another RabbitMQ that knows nothing of the first; a test may stop it and starts it again."""
    broker: RabbitMQ = _server(servers, "rabbitmq_second")
    return broker


@pytest.fixture(scope="session")
def activemq(servers: ServerPool) -> ActiveMQ:
    """An ActiveMQ Classic broker for the whole session."""
    broker: ActiveMQ = _server(servers, "activemq")
    return broker


@pytest.fixture(scope="session")
def artemis(servers: ServerPool) -> Artemis:
    """An ActiveMQ Artemis broker for the whole session."""
    broker: Artemis = _server(servers, "artemis")
    return broker


@pytest.fixture(scope="session")
def postgres(servers: ServerPool) -> Postgres:
    """A PostgreSQL server for the whole session; a test makes databases of its own or uses pytest-django's."""
    database: Postgres = _server(servers, "postgres")
    return database


@pytest.fixture(scope="session")
def mariadb(servers: ServerPool) -> MariaDB:
    """A MariaDB server for the whole session; a test makes databases of its own."""
    database: MariaDB = _server(servers, "mariadb")
    return database
