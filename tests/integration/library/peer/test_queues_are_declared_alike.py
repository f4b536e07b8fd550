"""The queues that ours declares have, to the byte, the arguments that django-outbox-pattern gave them.

Both really subscribe on a real broker, which is then asked what it recorded: a constant could be wrong on both sides.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.consume.subscriber import Subscribers
from tests.integration.library.peer.peer import Peer, installed
from tests.integration.library.publish.publisher import Database, Project
from tests.rig.peers import FIRST, LAST
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.hostservices import Postgres, RabbitMQ

RECORDED = ("durable", "auto_delete", "exclusive", "arguments", "type")
OWN_HEADERS = {
    "durable": "true",
    "auto-delete": "false",
    "prefetch-count": "7",
    "x-queue-type": "quorum",
    "x-message-ttl": "600000",
    "x-max-length": "1000",
    "x-overflow": "reject-publish",
}


@pytest.fixture(scope="module")
def migrated(postgres: Postgres, rabbitmq: RabbitMQ, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database that both can work on."""
    database = Database(postgres, f"declared_{uuid.uuid4().hex[:12]}")
    postgres.create_database(database.name)
    Project(database, rabbitmq, tmp_path_factory.mktemp("declared")).manage("migrate", "--run-syncdb", "--verbosity=0")
    return database


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A name for a queue and for the last segment of a destination."""
    name = f"declared-{uuid.uuid4().hex[:12]}"
    yield name
    _delete(rabbitmq, name)


def _delete(broker: RabbitMQ, queue: str) -> None:
    for name in broker.api.queues():
        if queue in name:
            broker.delete_queue(name)


def _recorded(broker: RabbitMQ, queue: str) -> str:
    """What the broker knows of every queue of this name and of its dead letter queue, as text."""
    wait_until("both queues", lambda: {queue, f"DLQ.{queue}"} <= set(broker.api.queues()), seconds=30)
    found: dict[str, Any] = {}
    for name in broker.api.queues():
        if queue in name:
            answer = broker.api.queue(name) or {}
            found[name] = {key: answer.get(key) for key in RECORDED}
    return json.dumps(found, indent=1, sort_keys=True)


@pytest.mark.parametrize("release", [FIRST, LAST])
@pytest.mark.parametrize(
    ("prefix", "settings"),
    [
        ("/topic/", {}),
        ("/exchange/amq.topic/", {}),
        ("/queue/", {}),
        ("/topic/", {"DEFAULT_STOMP_QUEUE_HEADERS": OWN_HEADERS}),
    ],
    ids=["topic", "exchange", "queue", "own headers"],
)
def test_queue_and_dead_letter_queue_are_the_same_to_the_byte(
    release: str,
    prefix: str,
    settings: dict[str, Any],
    queue: str,
    migrated: Database,
    rabbitmq: RabbitMQ,
    tmp_path: Path,
) -> None:
    installed(release)
    peer = Peer(release, migrated.django, tmp_path, rabbitmq)
    ours = Subscribers(rabbitmq, migrated, tmp_path)  # type: ignore[arg-type]
    try:
        peer.subscribe("save", f"{prefix}{queue}", queue, **settings).kill()
        theirs = _recorded(rabbitmq, queue)
        # It takes over what is there: a difference would be refused with PRECONDITION_FAILED.
        ours.start("save", f"{prefix}{queue}", queue, **settings).wait_ready().kill()
        _delete(rabbitmq, queue)
        ours.start("save", f"{prefix}{queue}", queue, **settings).wait_ready()
        assert _recorded(rabbitmq, queue) == theirs
        assert f"DLQ.DLQ.DLQ.{queue}" in theirs
    finally:
        for worker in (*peer.running, *ours.running):
            worker.end()
