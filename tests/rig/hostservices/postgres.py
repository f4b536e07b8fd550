"""PostgreSQL as a process of this machine."""

from __future__ import annotations

import contextlib
import shutil
import signal
from pathlib import Path
from typing import Any

import psycopg

from tests.rig.hostservices.common import HOST, START_SECONDS, own, run_as
from tests.rig.process import Daemon, find_program, free_port, run, start_time
from tests.rig.waiting import RigError, wait_until


class Postgres:
    """One PostgreSQL server with a superuser and an empty database; data stays over stop, kill and start.

    `fsync` is off: a killed server process loses nothing by that, only a machine that loses power would.
    """

    host = HOST
    user = "outbox"
    password = "outbox-secret"
    dbname = "outbox"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.system_user = run_as("postgres")
        self.port = free_port()
        self._data = directory / "data"
        postgres = self._program("postgres")
        options = {
            "listen_addresses": HOST,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
        }
        argv = [str(postgres), "-D", str(self._data)]
        for key, value in options.items():
            argv += ["-c", f"{key}={value}"]
        self._server = Daemon("postgres", argv, directory, user=self.system_user)

    @staticmethod
    def _program(name: str) -> Path:
        folders = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
        return find_program(name, *folders, package="postgresql")

    def _initialise(self) -> None:
        own(self.directory, self.system_user)
        secret = self.directory / "password"
        secret.write_text(self.password)
        if self.system_user:
            shutil.chown(secret, self.system_user)
        argv = [str(self._program("initdb")), "-D", str(self._data), "-U", self.user, f"--pwfile={secret}"]
        argv += ["-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]
        run(argv, user=self.system_user)

    def start(self) -> None:
        """Start the server and wait until it accepts connections; the first start makes the data directory."""
        fresh = not self._data.exists()
        if fresh:
            self._initialise()
        self._server.start()
        check = [str(self._program("pg_isready")), "-q", "-h", HOST, "-p", str(self.port), "-t", "1"]

        def accepts() -> bool:
            with contextlib.suppress(RigError):
                run(check)
                return True
            return False

        self._server.wait_ready("accepts connections", accepts, seconds=START_SECONDS)
        if fresh:
            self.create_database(self.dbname)

    @property
    def pid(self) -> int | None:
        """The id of the server's first process, None when it does not run."""
        return self._server.pid

    def stop(self) -> None:
        """Stop in good order: open transactions are rolled back (a "fast" shutdown)."""
        self._server.stop(seconds=40, number=signal.SIGINT)

    def kill(self) -> None:
        """End the server like a crash would (SIGKILL), and wait until its backends have noticed."""
        # Stopped first: a backend that it starts after we looked would hold the data directory against the next start.
        self._server.send(signal.SIGSTOP)
        backends = self._children()
        self._server.kill()
        wait_until("backends gone", lambda: not any(start_time(pid) for pid in backends), seconds=20, every=0.02)

    def _children(self) -> list[int]:
        parent, found = self._server.pid, []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                    found.append(int(stat.parent.name))
        return found

    def restart(self) -> None:
        """Stop in good order and start again on the same port."""
        self.stop()
        self.start()

    def environment(self) -> dict[str, str]:
        """The variables of libpq, and a URL."""
        return {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGPASSWORD": self.password,
            "PGDATABASE": self.dbname,
            "DATABASE_URL": f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{self.dbname}",
        }

    def psql(self, sql: str, *, database: str = "postgres") -> str:
        """Run one statement as the superuser, past any driver; rows come as tab-separated lines."""
        argv = [
            str(self._program("psql")),
            "-X",
            "-A",
            "-t",
            "-F",
            "\t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            database,
            "-c",
            sql,
        ]
        return run(argv, environment=self.environment()).rstrip("\n")

    def django(self, name: str) -> dict[str, Any]:
        """Django's mapping for a database of this server."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": self.host,
            "PORT": str(self.port),
            "USER": self.user,
            "PASSWORD": self.password,
            "NAME": name,
        }

    def connect(self, database: str, **options: Any) -> psycopg.Connection[Any]:
        """Open a connection to a database, each statement a transaction of its own; `options` are libpq's."""
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            autocommit=True,
            **options,
        )

    def create_database(self, name: str) -> None:
        """Create an empty database; one that exists is left as it is."""
        if not self.psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.psql(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting its connections; a missing one is fine."""
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
