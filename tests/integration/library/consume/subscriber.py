"""What the tests of the subscriber hold in their hands: the process, the broker, the database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import stomp

from tests.integration.library.worker import MANAGE, REPOSITORY, ServerDatabase, Worker
from tests.rig.process import free_port
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.hostservices import RabbitMQ

CALLBACKS = "tests.django_project.callbacks"


@dataclass
class Database(ServerDatabase):
    """The subscribers' database."""

    def effects(self, key: str) -> int:
        """How often the message of this key changed the database."""
        return int(self.rows("SELECT count(*) FROM events_effect WHERE key = %s", key)[0][0])

    def counts(self, pattern: str) -> tuple[int, int]:
        """How many effects there are of the keys LIKE a pattern, and of how many keys."""
        ((effects, keys),) = self.rows(
            "SELECT count(*), count(DISTINCT key) FROM events_effect WHERE key LIKE %s", pattern
        )
        return effects, keys

    def inbox(self, msg_id: str) -> list[str | None]:
        """The consumers that the inbox knows to have handled a message."""
        return [row[0] for row in self.rows("SELECT consumer FROM received WHERE msg_id = %s ORDER BY 1", msg_id)]


@dataclass
class Broker:
    """The broker as a producer and an administrator see it."""

    server: RabbitMQ

    def send(self, destination: str, body: Any, **headers: str) -> str:
        """Publish one message as our publisher does, wait for the confirm, and return its id."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers.setdefault("dop-msg-id", str(uuid.uuid4()))
        self.send_raw(destination, json.dumps(body), headers)
        return headers["dop-msg-id"]

    def send_raw(self, destination: str, body: str | bytes, headers: dict[str, str]) -> None:
        """Publish one message with exactly these headers, and wait for the confirm."""
        connection = stomp.StompConnection12([(self.server.host, self.server.stomp_port)], vhost=self.server.vhost)
        waiting = stomp.listener.WaitingListener("sent")
        connection.set_listener("waiting", waiting)
        connection.connect(self.server.username, self.server.passcode, wait=True)
        connection.send(destination, body, headers={**headers, "persistent": "true"}, receipt="sent")
        waiting.wait_on_receipt()
        connection.disconnect()

    def depth(self, queue: str) -> int | None:
        """How many messages wait; None when there is no such queue."""
        return self.server.queue_depth(queue)

    def unacknowledged(self, queue: str) -> int:
        """How many messages of a queue are in somebody's hands, as the broker last counted; -1 before it has."""
        return int((self.server.api.queue(queue) or {}).get("messages_unacknowledged", -1))

    def wait_for_depth(self, queue: str, depth: int, subscriber: Subscriber | None = None) -> None:
        """Wait until so many messages wait in the queue."""
        wait_until(
            f"{depth} messages in {queue}",
            lambda: self.depth(queue) == depth,
            seconds=30,
            state=lambda: f"there are {self.depth(queue)}\n{subscriber.evidence() if subscriber else ''}",
        )


@dataclass
class Subscriber(Worker):
    """A running ``manage.py subscribe``."""

    folder: Path

    def began(self, key: str) -> bool:
        """Whether the gated callback has begun with the message of this key, in this very process."""
        return (self.folder / f"began-{key}-{self.process.pid}").exists()

    def open_gate(self) -> None:
        """Let the gated callbacks finish."""
        (self.folder / "gate").touch()

    def text(self) -> str:
        """All it wrote to stderr."""
        return self.log.read_text(errors="replace")


@dataclass
class Subscribers:
    """Starts subscribers with one broker, one database and one folder for the callbacks' notes."""

    broker: RabbitMQ
    database: Database
    folder: Path
    running: list[Subscriber] = field(default_factory=list)

    def start(self, callback: str, destination: str, *arguments: str, **settings: Any) -> Subscriber:
        """Start ``subscribe`` with a callback of the test project (or any dotted path) and further settings."""
        port = free_port()
        path = callback if "." in callback else f"{CALLBACKS}.{callback}"
        command = [sys.executable, "-m", MANAGE, "subscribe", path, destination, *arguments]
        command.append(f"--metrics-port={port}")
        log = self.folder / f"subscriber-{len(self.running)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env=self.environment(**settings), stdout=output, stderr=output
            )
        subscriber = Subscriber(process, log, port, self.folder)
        self.running.append(subscriber)
        return subscriber

    def environment(self, **settings: Any) -> dict[str, str]:
        """The environment of a subscriber."""
        wanted = {
            "DEFAULT_STOMP_HOST_AND_PORTS": [[self.broker.host, self.broker.stomp_port]],
            "DEFAULT_STOMP_USERNAME": self.broker.username,
            "DEFAULT_STOMP_PASSCODE": self.broker.passcode,
            # Straight to the dead letters, except in the tests of retries.
            "CONSUMER_RETRY_DELAYS": [],
            **settings,
        }
        return {
            **os.environ,
            "TEST_FOLDER": str(self.folder),
            "OUTBOX_TEST_DATABASE": json.dumps(self.database.django),
            "OUTBOX_TEST_SETTINGS": json.dumps(wanted),
        }
