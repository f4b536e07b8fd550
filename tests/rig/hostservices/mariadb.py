"""MariaDB as a process of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.rig.hostservices.common import HOST, START_SECONDS, own, run_as
from tests.rig.process import Daemon, find_program, free_port, port_open, run

if TYPE_CHECKING:
    from pathlib import Path


class MariaDB:
    """One MariaDB server with a user who may do everything; data stays over stop, kill and start.

    The log is not synced at each commit: a killed server process loses nothing by that, only a machine without power.
    """

    host = HOST
    user = "outbox"
    password = "outbox-secret"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.system_user = run_as("mysql")
        self.port = free_port()
        self._data = directory / "data"
        self._socket = directory / "mariadb.sock"
        program = find_program("mariadbd", package="mariadb-server")
        options = {
            "datadir": self._data,
            "socket": self._socket,
            "pid-file": directory / "server.pid-file",
            "bind-address": HOST,
            "port": self.port,
            "innodb-buffer-pool-size": "64M",
            "innodb-flush-log-at-trx-commit": 2,
            "innodb-log-file-size": "32M",
            "character-set-server": "utf8mb4",
            "max-connections": 200,
        }
        argv = [str(program), "--no-defaults", "--skip-name-resolve", "--skip-log-bin"]
        self._server = Daemon(
            "mariadb", argv + [f"--{name}={value}" for name, value in options.items()], directory, user=self.system_user
        )

    def start(self) -> None:
        """Start the server and wait until it answers; the first start makes the data directory and the user."""
        fresh = not self._data.exists()
        if fresh:
            own(self.directory, self.system_user)
            install = find_program("mariadb-install-db", package="mariadb-server")
            argv = [str(install), "--no-defaults", f"--datadir={self._data}", "--skip-test-db"]
            run([*argv, "--auth-root-authentication-method=normal"], user=self.system_user)
        self._server.start()
        self._server.wait_ready(
            "accepts connections", lambda: self._socket.exists() and port_open(self.port), seconds=START_SECONDS
        )
        if fresh:
            self._as_root(f"CREATE USER '{self.user}'@'%' IDENTIFIED BY '{self.password}'")
            self._as_root(f"GRANT ALL ON *.* TO '{self.user}'@'%' WITH GRANT OPTION")

    def _as_root(self, sql: str) -> str:
        client = find_program("mariadb", package="mariadb-client")
        argv = [str(client), "--no-defaults", f"--socket={self._socket}", "--user=root", "-N", "-B", "-e", sql]
        return run(argv).rstrip("\n")

    def stop(self) -> None:
        """Stop in good order."""
        self._server.stop(seconds=40)

    def kill(self) -> None:
        """End the server like a crash would (SIGKILL)."""
        self._server.kill()
        self._socket.unlink(missing_ok=True)

    def restart(self) -> None:
        """Stop in good order and start again on the same port."""
        self.stop()
        self.start()

    def sql(self, statement: str) -> str:
        """Run one statement as root, past any driver; rows come as tab-separated lines."""
        return self._as_root(statement)

    def create_database(self, name: str) -> None:
        """Create an empty database; one that exists is left as it is."""
        self.sql(f"CREATE DATABASE IF NOT EXISTS `{name}`")

    def drop_database(self, name: str) -> None:
        """Drop a database; a missing one is fine."""
        self.sql(f"DROP DATABASE IF EXISTS `{name}`")

    def django(self, name: str) -> dict[str, Any]:
        """Django's mapping for a database of this server."""
        return {
            "ENGINE": "django.db.backends.mysql",
            "HOST": self.host,
            "PORT": str(self.port),
            "USER": self.user,
            "PASSWORD": self.password,
            "NAME": name,
        }
