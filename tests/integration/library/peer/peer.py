"""django-outbox-pattern as these tests hold it: its commands and its code, run by its own interpreter as processes."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.worker import REPOSITORY, Worker
from tests.rig.peers import FIRST, peer_python
from tests.rig.waiting import MissingProgramError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig.hostservices import RabbitMQ

PROJECT = REPOSITORY / "tests" / "peer_project"
APP = "django_outbox_pattern"
# Stands in for a broker where none is spoken to.
UNUSED_BROKER: Any = SimpleNamespace(host="127.0.0.1", stomp_port=1, username="", passcode="")


def installed(release: str) -> None:
    """Install a release, or fail or skip as CI and people want it."""
    try:
        peer_python(release)
    except MissingProgramError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@dataclass
class Peer:
    """A project on one release, on one database and one broker."""

    release: str
    database: dict[str, Any]
    folder: Path
    broker: RabbitMQ | None = None
    running: list[Worker] = field(default_factory=list)

    def migrate(self) -> None:
        """Make or bring up its tables."""
        self.manage("migrate", "--verbosity=0")

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end and return what it printed."""
        return self._run(["-m", "django", *arguments])

    def python(self, code: str) -> str:
        """Run code in the project, set up, and return what it printed."""
        return self._run(["-c", f"import django; django.setup()\n{code}"])

    def publish(self, **settings: Any) -> Worker:
        """Start ``publish``."""
        return self._start(["publish"], settings)

    def subscribe(self, callback: str, destination: str, queue: str, **settings: Any) -> Worker:
        """Start ``subscribe`` with one of ``peer_callbacks``, and wait until it consumes: it says so earlier."""
        worker = self._start(["subscribe", f"peer_callbacks.{callback}", destination, queue], settings)
        return worker.wait_for("the peer subscribes", lambda: self._consumes(worker, queue) and worker)

    def _consumes(self, worker: Worker, queue: str) -> bool:
        assert worker.process.poll() is None, worker.evidence()
        said_so = "Consumer started" in worker.log.read_text()
        return said_so and self.broker is not None and bool((self.broker.api.queue(queue) or {}).get("consumers"))

    def environment(self, **settings: Any) -> dict[str, str]:
        """The environment of its processes; the repository is not on their path, for there its name is ours."""
        outbox = dict(settings)
        if self.broker is not None:
            outbox = {
                "DEFAULT_STOMP_HOST_AND_PORTS": [[self.broker.host, self.broker.stomp_port]],
                "DEFAULT_STOMP_USERNAME": self.broker.username,
                "DEFAULT_STOMP_PASSCODE": self.broker.passcode,
                **settings,
            }
        return {
            **{name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}},
            "PYTHONPATH": str(PROJECT),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "peer_settings",
            "TEST_FOLDER": str(self.folder),
            "OUTBOX_TEST_DATABASE": json.dumps(self.database),
            "OUTBOX_TEST_SETTINGS": json.dumps(outbox),
        }

    def _run(self, arguments: list[str]) -> str:
        done = subprocess.run(
            [str(peer_python(self.release)), *arguments],
            cwd=self.folder,
            env=self.environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, arguments: list[str], settings: dict[str, Any]) -> Worker:
        log = self.folder / f"peer-{self.release}-{len(self.running)}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [str(peer_python(self.release)), "-m", "django", *arguments],
                cwd=self.folder,
                env={**self.environment(**settings), "TERM": "dumb"},
                stdout=sink,
                stderr=sink,
            )
        worker = Worker(process, log, port=0)
        self.running.append(worker)
        return worker


# Rows in every state that a database in use has, each written by the release's own models.
_FILL_BOTH = """
from datetime import timedelta
from django.utils import timezone
from django_outbox_pattern.models import Published, Received
now = timezone.now()
bodies = [{"n": 1}, {"deep": [1, 2.5, None, {"x": True}]}, [], "text", "", 0]
bodies += ["\\u00e4\\u4e2d\\U0001f600", {"k": "a\\"b"}]
for number, body in enumerate(bodies):
    Published(destination=f"/topic/old.{number}", body=body).save()
Published(destination="/topic/old", body={}, version="v2").save()
Published(destination="/topic/failed", body={}, status=-1, retry=50, expires_at=now + timedelta(15)).save()
Published(destination="/topic/done", body={}, status=2).save()
Published(destination="/topic/expired", body={}, expires_at=now - timedelta(2)).save()
Published.objects.bulk_create([Published(destination="/topic/bulk", body={"n": n}) for n in range(3)])
Published.objects.filter(destination="/topic/expired").update(added=now - timedelta(3))
for msg_id in (None, None, "one", "x" * 100):
    Received(msg_id=msg_id, body={"n": 1}, headers={"destination": "/topic/old", "x": "\\u00e4"}).save()
Received(msg_id="bare").save()
Received(msg_id="refused", status=-1, retry=3, expires_at=now - timedelta(2)).save()
"""
_FILL = {
    # Nothing kept two workers of the first release from recording one message twice.
    FIRST: _FILL_BOTH + "[Received(msg_id='twice', body={'copy': n}).save() for n in range(3)]\n",
}
_FILL_LATER = _FILL_BOTH + 'Published(destination="/topic/own", body={}, headers={"x": "y", "n": 7}).save()\n'

_READ = """
import json
from django.db import connection
from django_outbox_pattern.models import Published, Received
found = {}
for model in (Published, Received):
    columns = [field.column for field in model._meta.concrete_fields]
    with connection.cursor() as cursor:
        names = ", ".join(connection.ops.quote_name(column) for column in columns)
        cursor.execute(f"SELECT {names} FROM {model._meta.db_table}")
        found[model._meta.db_table] = [dict(zip(columns, map(str, row))) for row in cursor.fetchall()]
print(json.dumps(found))
"""


def fill(peer: Peer) -> None:
    """Write rows of every kind, with the release's own models."""
    peer.python(_FILL.get(peer.release, _FILL_LATER))


def everything(peer: Peer) -> dict[str, list[dict[str, str]]]:
    """Every column that the release knows of every row of both tables, as the database's driver gives it.

    Ids come without dashes: whether they have any is a matter of the column's type on MariaDB.
    """
    found: dict[str, list[dict[str, str]]] = json.loads(peer.python(_READ))
    for rows in found.values():
        for row in rows:
            row["id"] = row["id"].replace("-", "")
        rows.sort(key=lambda row: row["id"])
    return found
