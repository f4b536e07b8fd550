"""What the tests of the subscriber hold in their hands: the process, the broker, the database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import stomp
from prometheus_client.parser import text_string_to_metric_families

from tests.rig.process import free_port
from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from tests.rig.hostservices import Postgres, RabbitMQ

REPOSITORY = Path(__file__).parents[4]
CALLBACKS = "tests.django_project.callbacks"


@dataclass
class Database:
    """The subscribers' database, asked past Django."""

    server: Postgres
    name: str

    @property
    def django(self) -> dict[str, Any]:
        """The entry of DATABASES."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.name,
            "HOST": self.server.host,
            "PORT": self.server.port,
            "USER": self.server.user,
            "PASSWORD": self.server.password,
        }

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        server = self.server
        with psycopg.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, dbname=self.name
        ) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def effects(self, key: str) -> int:
        """How often the message of this key changed the database."""
        return int(self.rows("SELECT count(*) FROM events_effect WHERE key = %s", key)[0][0])

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

    def wait_for_depth(self, queue: str, depth: int, subscriber: Subscriber | None = None) -> None:
        """Wait until so many messages wait in the queue."""
        wait_until(
            f"{depth} messages in {queue}",
            lambda: self.depth(queue) == depth,
            seconds=30,
            state=lambda: f"there are {self.depth(queue)}\n{subscriber.evidence() if subscriber else ''}",
        )


@dataclass
class Subscriber:
    """A running ``manage.py subscribe``."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int
    folder: Path

    def probe(self, path: str) -> tuple[int, str]:
        """Ask the metrics port; an unreachable one is an OSError."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> bool:
        """Whether the subscriber says that it can do its work."""
        assert self.process.poll() is None, self.evidence()
        return self.probe("/readyz")[0] == 200

    def reasons(self) -> dict[str, str]:
        """Why it is not ready."""
        return dict(json.loads(self.probe("/readyz")[1])["reasons"])

    def wait_ready(self) -> Subscriber:
        """Wait until it is connected and subscribed."""
        wait_until("the subscriber is ready", self.ready, seconds=60, state=self.evidence)
        return self

    def wait_for(self, what: str, condition: Any, seconds: float = 30) -> Any:
        """Wait for a condition, with the subscriber's log as the evidence."""
        return wait_until(what, condition, seconds=seconds, state=self.evidence)

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one series; None when it is absent."""
        for family in text_string_to_metric_families(self.probe("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def began(self, key: str) -> bool:
        """Whether the gated callback has begun with the message of this key, in this very process."""
        return (self.folder / f"began-{key}-{self.process.pid}").exists()

    def open_gate(self) -> None:
        """Let the gated callbacks finish."""
        (self.folder / "gate").touch()

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def wait_exit(self, seconds: float = 30) -> int:
        """Wait for the end and return the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s\n{self.evidence()}") from None

    def stop(self) -> int:
        """Ask to stop, as Kubernetes does, and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait_exit()

    def kill(self) -> None:
        """End it like a crash would."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """Make sure that it does not outlive the test."""
        if self.process.poll() is None:
            self.kill()

    def text(self) -> str:
        """All it wrote to stderr."""
        return self.log.read_text(errors="replace")

    def evidence(self) -> str:
        """What to show when a wait fails."""
        return f"exit code {self.process.poll()}\n{tail(self.log, 60)}"


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
        command = [sys.executable, "-m", "tests.django_project.manage", "subscribe", path, destination, *arguments]
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
            **settings,
        }
        return {
            **os.environ,
            "TEST_FOLDER": str(self.folder),
            "OUTBOX_TEST_DATABASE": json.dumps(self.database.django),
            "OUTBOX_TEST_SETTINGS": json.dumps(wanted),
        }
