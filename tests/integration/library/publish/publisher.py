"""What the tests of the publisher hold in their hands: the process, its database, and the project's commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.integration.library.worker import MANAGE, REPOSITORY, ServerDatabase, Worker
from tests.rig.process import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.hostservices import RabbitMQ

SCHEDULE, SUCCEEDED, FAILED = 1, 2, -1


@dataclass
class Database(ServerDatabase):
    """A database of its own for one test."""

    def count(self, status: int) -> int:
        """How many messages are in a state."""
        return int(self.rows("SELECT count(*) FROM published WHERE status = %s", status)[0][0])

    def states(self) -> dict[int, int]:
        """How many messages are in each state."""
        return dict(self.rows("SELECT status, count(*) FROM published GROUP BY 1"))

    def fill(self, destination: str, count: int, first: int = 0, keys: int | None = None) -> None:
        """Write messages as an application does, numbered from ``first`` on; the key is the number modulo ``keys``."""
        self.rows(
            """
            INSERT INTO published
                (id, destination, body, added, expires_at, retry, status, headers, key)
            SELECT id, %s, jsonb_build_object('n', n), clock_timestamp() + n * interval '1 us', now(), 0, 1,
                   jsonb_build_object('dop-msg-id', id::text, 'dop-msg-destination', %s::text),
                   'key ' || (n %% %s::int)::text
            FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(%s::int, %s::int) AS n) AS numbered
            """,
            destination,
            destination,
            keys,
            first,
            first + count - 1,
        )


@dataclass
class Project:
    """The tests' Django project on one database and one broker; runs its commands as processes."""

    database: Database
    broker: RabbitMQ
    folder: Path
    app: str = "django_outbox"
    settings: dict[str, Any] = field(default_factory=dict)
    running: list[Publisher] = field(default_factory=list)
    driver: str = "psycopg"

    def environment(self, **settings: Any) -> dict[str, str]:
        """The environment that makes a process use this database and this broker."""
        outbox = {
            "DEFAULT_STOMP_HOST_AND_PORTS": [[self.broker.host, self.broker.stomp_port]],
            "DEFAULT_STOMP_USERNAME": self.broker.username,
            "DEFAULT_STOMP_PASSCODE": self.broker.passcode,
            **self.settings,
            **settings,
        }
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.django_project.settings",
            "OUTBOX_TEST_APP": self.app,
            "OUTBOX_TEST_DRIVER": self.driver,
            "OUTBOX_TEST_DATABASE": json.dumps(self.database.django),
            "OUTBOX_TEST_SETTINGS": json.dumps(outbox),
        }

    def manage(self, *arguments: str, check: bool = True, **settings: Any) -> subprocess.CompletedProcess[str]:
        """Run a management command to its end."""
        return self._run([sys.executable, "-m", MANAGE, *arguments], check, settings)

    def python(self, code: str, **settings: Any) -> str:
        """Run code in the project, set up, and return what it printed."""
        setup = "import django; django.setup()\n"
        return self._run([sys.executable, "-c", setup + code], True, settings).stdout

    def _run(self, command: list[str], check: bool, settings: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=self.environment(**settings),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def publish(self, *arguments: str, **settings: Any) -> Publisher:
        """Start ``manage.py publish``."""
        port = free_port()
        log = self.folder / f"publish-{len(self.running)}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", MANAGE, "publish", "--metrics-port", str(port), *arguments],
                cwd=REPOSITORY,
                env=self.environment(**settings),
                stdout=sink,
                stderr=sink,
            )
        publisher = Publisher(process, log, port, self.database)
        self.running.append(publisher)
        return publisher


@dataclass
class Publisher(Worker):
    """A running ``manage.py publish``."""

    database: Database

    def evidence(self) -> str:
        """What there is to know when a wait has failed."""
        lines = [line for line in self.log.read_text().splitlines() if "Message published" not in line]
        return "\n".join([f"exit code {self.process.poll()}, rows {self.database.states()}", *lines[-40:]])

    def wait_sent(self, count: int, seconds: float = 60) -> None:
        """Wait until so many rows are marked as sent."""
        self.wait_for(f"{count} rows sent", lambda: self.database.count(SUCCEEDED) >= count, seconds)
