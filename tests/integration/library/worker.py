"""What both commands' tests hold in their hands: a database asked past Django, and a worker running as a process."""

from __future__ import annotations

import json
import signal
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg
from prometheus_client.parser import text_string_to_metric_families

from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from tests.rig.hostservices import Postgres

REPOSITORY = Path(__file__).parents[3]
MANAGE = "tests.django_project.manage"


@dataclass
class ServerDatabase:
    """A database on the real server."""

    server: Postgres
    name: str

    @property
    def django(self) -> dict[str, Any]:
        """The entry of DATABASES."""
        server = self.server
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.name,
            "HOST": server.host,
            "PORT": server.port,
            "USER": server.user,
            "PASSWORD": server.password,
        }

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        server = self.server
        with psycopg.connect(
            host=server.host, port=server.port, user=server.user, password=server.password, dbname=self.name
        ) as connection:
            cursor = connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []


@dataclass
class Worker:
    """A running ``manage.py publish`` or ``subscribe``."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int

    def evidence(self) -> str:
        """What to show when a wait fails."""
        return f"exit code {self.process.poll()}\n{tail(self.log, 60)}"

    def probe(self, path: str) -> tuple[int, str]:
        """Ask the metrics port; an unreachable one is an OSError."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def ready(self) -> bool:
        """Whether the worker says that it can do its work."""
        assert self.process.poll() is None, self.evidence()
        return self.probe("/readyz")[0] == 200

    def reasons(self) -> dict[str, str]:
        """Why it is not ready."""
        return dict(json.loads(self.probe("/readyz")[1])["reasons"])

    def wait_ready(self) -> Self:
        """Wait until it has all that it needs."""
        wait_until("the worker is ready", self.ready, seconds=60, state=self.evidence)
        return self

    def wait_for(self, what: str, condition: Any, seconds: float = 60) -> Any:
        """Wait for a condition, with the worker's log as the evidence."""
        return wait_until(what, condition, seconds=seconds, state=self.evidence)

    def metric(self, name: str, **labels: str) -> float | None:
        """The value of one series; None when it is absent."""
        for family in text_string_to_metric_families(self.probe("/metrics")[1]):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        self.process.send_signal(number)

    def wait_exit(self, seconds: float = 40) -> int:
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
