"""Real publishers for these tests: ``manage.py publish`` as a process, on a real broker and a real database."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.integration.library.publish.publisher import Database, Project
from tests.integration.library.publish.queues import Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.hostservices import Postgres, RabbitMQ

TEMPLATE = "publish_template"


@pytest.fixture(scope="session")
def migrated_template(postgres: Postgres, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated, empty database that each test gets a copy of."""
    postgres.create_database(TEMPLATE)
    project = Project(Database(postgres, TEMPLATE), rabbitmq, tmp_path_factory.mktemp("migrate"))
    project.manage("migrate", "--run-syncdb", "--verbosity=0")
    return TEMPLATE


@pytest.fixture
def project(postgres: Postgres, rabbitmq: RabbitMQ, migrated_template: str, tmp_path: Path) -> Iterator[Project]:
    """The project on a migrated database of its own; publishers that still run at the end of the test are ended."""
    name = f"publish_{uuid.uuid4().hex[:12]}"
    postgres.psql(f'CREATE DATABASE "{name}" TEMPLATE "{migrated_template}"')
    project = Project(Database(postgres, name), rabbitmq, tmp_path)
    yield project
    for publisher in project.running:
        publisher.end()
    postgres.drop_database(name)


@pytest.fixture
def empty_project(postgres: Postgres, rabbitmq: RabbitMQ, tmp_path: Path) -> Iterator[Project]:
    """The project on a database without a single table."""
    name = f"publish_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    project = Project(Database(postgres, name), rabbitmq, tmp_path)
    yield project
    for publisher in project.running:
        publisher.end()
    postgres.drop_database(name)


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[Queue]:
    """A durable queue that no other test uses."""
    name = f"publish-{uuid.uuid4().hex[:12]}"
    rabbitmq.declare_queue(name)
    yield Queue(rabbitmq, name)
    rabbitmq.delete_queue(name)


@pytest.fixture
def full_queue(rabbitmq: RabbitMQ) -> Iterator[Queue]:
    """A queue that rejects every message: the broker never answers a SEND to it."""
    name = f"publish-full-{uuid.uuid4().hex[:12]}"
    rabbitmq.declare_queue(name, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    yield Queue(rabbitmq, name)
    rabbitmq.delete_queue(name)
