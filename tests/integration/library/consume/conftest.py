"""Real subscribers for these tests: ``manage.py subscribe`` as a process, on a real broker and a real database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.integration.library.consume.subscriber import Broker, Database, Subscriber, Subscribers
from tests.integration.library.worker import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.hostservices import Postgres, RabbitMQ


@pytest.fixture(scope="session")
def database(postgres: Postgres) -> Database:
    """A migrated database that the subscribers write to; a test tells its rows by keys of its own."""
    database = Database(postgres, name="consume")
    postgres.create_database(database.name)
    environment = {**os.environ, "OUTBOX_TEST_DATABASE": json.dumps(database.django)}
    command = [sys.executable, "-m", "tests.django_project.manage", "migrate", "--run-syncdb", "--verbosity=0"]
    subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=120)
    return database


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The name of a queue, and of the last segment of a destination, that no other test uses."""
    name = f"consume-{uuid.uuid4().hex[:12]}"
    yield name
    for leftover in rabbitmq.api.queues():
        if name in leftover:
            rabbitmq.delete_queue(leftover)


@pytest.fixture
def broker(rabbitmq: RabbitMQ) -> Broker:
    """The broker as a producer and an administrator see it."""
    return Broker(rabbitmq)


@pytest.fixture
def subscribers(rabbitmq: RabbitMQ, database: Database, tmp_path: Path) -> Iterator[Subscribers]:
    """Start subscribers; those that still run at the end of the test are ended."""
    running: list[Subscriber] = []
    yield Subscribers(rabbitmq, database, tmp_path, running)
    for subscriber in running:
        subscriber.end()
