"""pytest plugin: session fixtures `rabbitmq` and `postgres`, real servers on free loopback ports.

A server that is not installed is a failure in CI (`CI=true`), elsewhere a skip that names the missing program.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

import pytest

from tests.rig.hostservices import Postgres, RabbitMQ, postgres_server, rabbitmq_server
from tests.rig.waiting import MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


ServerT = TypeVar("ServerT", RabbitMQ, Postgres)


def _served(server: AbstractContextManager[ServerT]) -> Iterator[ServerT]:
    try:
        running = server.__enter__()
    except MissingProgramError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    try:
        yield running
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ broker for the whole session; a test uses queue names of its own."""
    yield from _served(rabbitmq_server())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole session; a test makes databases of its own or uses pytest-django's."""
    yield from _served(postgres_server())
