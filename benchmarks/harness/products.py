"""The two products as their users run them: processes of a Django project, each on a database of its own.

Both run ``benchmarks/project``. Ours is the package of this repository, run by this interpreter; the peer is the
release from the package index, run by the interpreter of its own environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.rig.peers import LAST, peer_python
from tests.rig.waiting import RigError, tail

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from tests.rig.hostservices import Postgres, RabbitMQ

PROJECT = Path(__file__).parents[1] / "project"
SCRIPT_SECONDS = 1800
_STOP_SECONDS = 20


@dataclass
class Product:
    """A library under measurement, with its database and the broker."""

    name: str
    app: str
    interpreter: Path
    postgres: Postgres
    rabbitmq: RabbitMQ
    folder: Path
    _started: int = field(default=0, init=False)

    @property
    def database(self) -> str:
        """The name of its database."""
        return f"bench_{self.name}"

    def prepare(self) -> None:
        """Make its database and tables."""
        self.postgres.drop_database(self.database)
        self.postgres.create_database(self.database)
        self._run(["-m", "django", "migrate", "--run-syncdb", "--verbosity=0"], self.environment())

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection to its database, each statement a transaction of its own."""
        return self.postgres.connect(self.database)

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows."""
        with self.connect() as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Remove every row of every table that a measurement writes."""
        self.rows("TRUNCATE published, received, effect")

    def python(self, code: str, *, conn_max_age: int | None = 0, **settings: Any) -> dict[str, float]:
        """Run code in the project, Django set up; it prints its figures as one JSON object on the last line."""
        setup = f"import django; django.setup()\n{code}"
        printed = self._run(["-c", setup], self.environment(conn_max_age, **settings))
        return dict(json.loads(printed.strip().splitlines()[-1]))

    @contextlib.contextmanager
    def running(
        self, command: str, *arguments: str, conn_max_age: int | None = 0, **settings: Any
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run ``manage.py publish`` or ``subscribe`` within the block, asked to stop at its end.

        ``conn_max_age`` is Django's CONN_MAX_AGE, ``settings`` are entries of DJANGO_OUTBOX_PATTERN.
        """
        self._started += 1
        log = self.folder / f"{self.name}-{self._started}.log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [str(self.interpreter), "-m", "django", command, *arguments],
                cwd=self.folder,
                env=self.environment(conn_max_age, **settings),
                stdout=sink,
                stderr=sink,
            )
        try:
            yield process
            if process.poll() is not None:
                raise RigError(f"{self.name}'s {command} ended with {process.returncode}\n{tail(log, 40)}")
        finally:
            _end(process)

    def environment(self, conn_max_age: int | None = 0, **settings: Any) -> dict[str, str]:
        """Return the environment of its processes; the repository is not on their path."""
        broker = {
            "DEFAULT_STOMP_HOST_AND_PORTS": [[self.rabbitmq.host, self.rabbitmq.stomp_port]],
            "DEFAULT_STOMP_USERNAME": self.rabbitmq.username,
            "DEFAULT_STOMP_PASSCODE": self.rabbitmq.passcode,
        }
        database = {**self.postgres.django(self.database), "CONN_MAX_AGE": conn_max_age}
        inherited = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
        return {
            **inherited,
            "PYTHONPATH": str(PROJECT),
            "DJANGO_SETTINGS_MODULE": "bench_settings",
            "BENCH_APP": self.app,
            "BENCH_DATABASE": json.dumps(database),
            "BENCH_OUTBOX": json.dumps({**broker, **settings}),
        }

    def _run(self, arguments: list[str], environment: dict[str, str]) -> str:
        done = subprocess.run(
            [str(self.interpreter), *arguments],
            cwd=self.folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
            timeout=SCRIPT_SECONDS,
        )
        if done.returncode:
            raise RigError(f"{self.name}: {arguments[-1]}\n{done.stdout}{done.stderr}")
        return done.stdout


def ours(postgres: Postgres, rabbitmq: RabbitMQ, folder: Path) -> Product:
    """Return this project's library."""
    return Product("ours", "django_outbox", Path(sys.executable), postgres, rabbitmq, folder)


def peer(postgres: Postgres, rabbitmq: RabbitMQ, folder: Path) -> Product:
    """Return django-outbox-pattern, installed from the package index when it is not yet."""
    return Product("peer", "django_outbox_pattern", peer_python(LAST), postgres, rabbitmq, folder)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_SECONDS)
