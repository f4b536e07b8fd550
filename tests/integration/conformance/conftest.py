"""One place after the other: whatever stands in a place is started for its first test and ended after its last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.conformance.brokers import met, server_of
from tests.integration.conformance.places import parts
from tests.integration.conformance.site import Site, SiteDatabase
from tests.integration.library.worker import MANAGE, REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.stomp_queue import StompQueue

NAME = "conformance"


@pytest.fixture(scope="session")
def migrated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], dict[str, Any]]:
    """Return the entry of DATABASES of a kind of database, migrated when it is first asked for."""
    made: dict[str, dict[str, Any]] = {}

    def entry(kind: str) -> dict[str, Any]:
        if kind not in made:
            made[kind] = _new_database(request, kind, tmp_path_factory)
            environment = {**os.environ, "OUTBOX_TEST_DATABASE": json.dumps(made[kind])}
            command = [sys.executable, "-m", MANAGE, "migrate", "--run-syncdb", "--verbosity=0"]
            subprocess.run(command, cwd=REPOSITORY, env=environment, check=True, timeout=120)
        return made[kind]

    return entry


def _new_database(
    request: pytest.FixtureRequest, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    if kind == "sqlite":
        file = tmp_path_factory.mktemp(NAME) / "database.sqlite3"
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file), "OPTIONS": {"timeout": 30}}
    server = request.getfixturevalue(kind)
    server.create_database(NAME)
    return dict(server.django(NAME))


@pytest.fixture(scope="session")
def site(
    request: pytest.FixtureRequest,
    migrated: Callable[[str], dict[str, Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Site]:
    """The place that the test's `conformance` decorator names."""
    kind, database = parts(request.param)
    broker = met(kind, request.getfixturevalue(server_of(kind)))
    site = Site(broker, SiteDatabase(migrated(database)), tmp_path_factory.mktemp(request.param))
    try:
        site.open()
        yield site
    finally:
        site.close()


@dataclass
class Restarted:
    """What was left on the broker before it was killed and started again."""

    queue: StompQueue
    count: int
    arrived: list[int] | None = None


@pytest.fixture(scope="session")
def restarted(site: Site) -> Restarted:
    """Kill the broker under a publisher and a subscriber, with confirmed messages in a queue, and start it again."""
    before = Restarted(site.queue("kept"), 100)
    site.fill(before.queue, before.count)
    site.wait_sent(before.queue, before.count)
    site.broker.settle(site.name)
    site.broker.server.kill()
    for worker in (site.publisher, site.subscriber):
        worker.wait_for("the loss is noticed", lambda worker=worker: not worker.ready())
    site.broker.server.start()
    for worker in (site.publisher, site.subscriber):
        worker.wait_ready()
    return before
