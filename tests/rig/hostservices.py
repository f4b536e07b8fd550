"""Real servers on this machine for the integration tier and for people: Debian's RabbitMQ and PostgreSQL.

Each instance has its own directory, free loopback ports, node name and (for Erlang) its own epmd, so several test runs
on one machine do not see each other. Started as the servers' own users when the caller is root, else as the caller.
`tests.rig.pytest_services` makes fixtures of these; `python -m tests.rig servers` starts them for a person.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import signal
import urllib.error
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.rig.amqp import Account, QueueCount, count
from tests.rig.paths import REPOSITORY, state_directory
from tests.rig.process import Daemon, find_program, free_port, port_open, run, start_time
from tests.rig.rabbitmq_api import ManagementApi
from tests.rig.rundirs import run_directory
from tests.rig.waiting import MissingProgramError, RigError, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
START_SECONDS = 60  # RabbitMQ takes 4 to 6 s on an idle machine of 2 cores; a busy one needs room


def services_directory() -> Path:
    """A folder that the servers' own users can reach: `.rig/services`, or one under /var/tmp for a closed home."""
    wanted = state_directory() / "services"
    if os.geteuid() == 0 and not all(part.stat().st_mode & 0o001 for part in wanted.resolve().parents if part.exists()):
        wanted = Path("/var/tmp") / f"django-outbox-rig{str(REPOSITORY).replace('/', '-')}"
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def _run_as(user: str) -> str | None:
    """The user to become: `user` for root (neither server runs as root), None for anybody else."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise MissingProgramError(f"no user {user!r} here: install the server with `python -m tests.rig apt`") from None
    return user


def _own(directory: Path, user: str | None) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(directory, user, user)
    directory.chmod(0o750)
    return directory


class RabbitMQ:
    """One RabbitMQ node with the plugins stomp, management and prometheus; data stays over stop, kill and start."""

    username = "outbox"
    passcode = "outbox-secret"
    vhost = "/"
    host = HOST

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = _run_as("rabbitmq")
        self.stomp_port, self.amqp_port, self.mgmt_port = free_port(), free_port(), free_port()
        self.prometheus_port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self.api = ManagementApi(f"http://{HOST}:{self.mgmt_port}", self.username, self.passcode, self.vhost)
        self._epmd, self._node = self._daemons()

    def _daemons(self) -> tuple[Daemon, Daemon]:
        home = self.directory / "home"
        environment = {
            "HOME": str(home),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": f"rig-{self.amqp_port}@localhost",
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_PID_FILE": str(home / "beam.pid"),
            # No busy waiting: an idle broker leaves both cores to the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
            ),
            # Makes the start script become the Erlang VM, so the pid we hold is the server's.
            "RUNNING_UNDER_SYSTEMD": "1",
        }
        server = find_program("rabbitmq-server", "/usr/lib/rabbitmq/bin", package="rabbitmq-server")
        epmd = find_program("epmd", package="erlang-base")
        epmd_argv = [str(epmd), "-address", HOST, "-port", str(self._epmd_port)]
        return (
            Daemon("epmd", epmd_argv, self.directory, user=self.user),
            Daemon("rabbitmq", [str(server)], self.directory, environment, self.user),
        )

    def _write_configuration(self) -> None:
        _own(self.directory, self.user)
        cookie = _own(self.directory / "home", self.user) / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text("RIGRIGRIGRIGRIGRIGRIG")
            if self.user:
                shutil.chown(cookie, self.user, self.user)
            cookie.chmod(0o400)
        (self.directory / "enabled_plugins").write_text("[rabbitmq_stomp,rabbitmq_management,rabbitmq_prometheus].\n")
        (self.directory / "advanced.config").write_text("[].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {HOST}:{self.amqp_port}\n"
            f"stomp.listeners.tcp.1 = {HOST}:{self.stomp_port}\n"
            f"management.tcp.ip = {HOST}\nmanagement.tcp.port = {self.mgmt_port}\n"
            f"prometheus.tcp.ip = {HOST}\nprometheus.tcp.port = {self.prometheus_port}\n"
            f"default_user = {self.username}\ndefault_pass = {self.passcode}\ndefault_vhost = {self.vhost}\n"
            "log.console = true\nlog.console.level = info\nlog.file = false\n"
            "collect_statistics_interval = 250\n"  # milliseconds; the default of 5 s makes checks wait
            "disk_free_limit.absolute = 50MB\n"
        )

    def start(self) -> None:
        """Start the broker and wait until STOMP, AMQP and the management API answer."""
        self._write_configuration()
        self._epmd.start()
        self._epmd.wait_ready("answers", lambda: port_open(self._epmd_port), seconds=10)
        self._node.start()
        self._node.wait_ready("STOMP and management answer", self._answers, seconds=START_SECONDS)

    def _answers(self) -> bool:
        if not (port_open(self.stomp_port) and port_open(self.amqp_port)):
            return False
        try:
            return self.api.call("GET", "whoami") is not None
        except (urllib.error.URLError, RigError):
            return False

    def stop(self) -> None:
        """Stop in good order (SIGTERM); durable queues and persistent messages stay."""
        self._node.stop(seconds=40)
        self._epmd.stop(seconds=5)

    def kill(self) -> None:
        """End the broker like a power cut would (SIGKILL)."""
        self._node.kill()

    def restart(self) -> None:
        """Stop in good order and start again on the same ports."""
        self._node.stop(seconds=40)
        self.start()

    def environment(self) -> dict[str, str]:
        """Addresses for people and programs, as environment variables."""
        return {
            "RABBITMQ_HOST": self.host,
            "RABBITMQ_STOMP_PORT": str(self.stomp_port),
            "RABBITMQ_AMQP_PORT": str(self.amqp_port),
            "RABBITMQ_MANAGEMENT_URL": self.api.url,
            "RABBITMQ_USERNAME": self.username,
            "RABBITMQ_PASSCODE": self.passcode,
        }

    def count(self, name: str) -> QueueCount | None:
        """The live count of a queue: ready messages and consumers. None when there is no such queue."""
        return count(Account(self.host, self.amqp_port, self.username, self.passcode, self.vhost), name)

    def queue_depth(self, name: str) -> int | None:
        """Messages that wait in the queue right now, without those delivered and not yet acknowledged.

        None when there is no such queue.
        """
        found = self.count(name)
        return None if found is None else found.ready

    def declare_queue(self, name: str, *, durable: bool = True, arguments: dict[str, Any] | None = None) -> None:
        """Declare a queue, over the management API."""
        self.api.declare_queue(name, durable=durable, arguments=arguments)

    def purge(self, name: str) -> None:
        """Drop the waiting messages of a queue."""
        self.api.purge(name)

    def delete_queue(self, name: str) -> None:
        """Delete a queue; a missing one is fine."""
        self.api.delete_queue(name)

    def get_messages(self, name: str, count: int = 1, *, requeue: bool = True) -> list[dict[str, Any]]:
        """Messages of a queue, with payload and properties; put back unless `requeue` is False."""
        return self.api.get_messages(name, count, requeue=requeue)


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
        self.system_user = _run_as("postgres")
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
        _own(self.directory, self.system_user)
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

    def stop(self) -> None:
        """Stop in good order: open transactions are rolled back (a "fast" shutdown)."""
        self._server.stop(seconds=40, number=signal.SIGINT)

    def kill(self) -> None:
        """End the server like a crash would (SIGKILL), and wait until its backends have noticed."""
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

    def create_database(self, name: str) -> None:
        """Create an empty database; one that exists is left as it is."""
        if not self.psql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            self.psql(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting its connections; a missing one is fine."""
        self.psql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


ServerT = TypeVar("ServerT", RabbitMQ, Postgres)


@contextlib.contextmanager
def rabbitmq_server() -> Iterator[RabbitMQ]:
    """A started broker, stopped and removed at the end."""
    yield from _serving(RabbitMQ)


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A started database server, stopped and removed at the end."""
    yield from _serving(Postgres)


def _serving(kind: type[ServerT]) -> Iterator[ServerT]:
    with run_directory(services_directory()) as directory:
        server = kind(directory / kind.__name__.lower())
        try:
            server.start()
            yield server
        finally:
            server.kill()  # its data go with the directory, so nothing is worth the seconds of a good order


# --- for people: servers that outlive the command that started them -----------------------------------------------


def _people_state() -> Path:
    return services_directory() / "people" / "environment.json"


def servers_up() -> dict[str, str]:
    """Start both servers and leave them running; returns their environment. Running ones are kept."""
    if found := servers_environment():
        return found
    servers_down()
    base = _people_state().parent
    base.mkdir(parents=True, exist_ok=True)
    environment: dict[str, str] = {}
    for server in (RabbitMQ(base / "rabbitmq"), Postgres(base / "postgres")):
        server.start()
        environment.update(server.environment())
    _people_state().write_text(json.dumps(environment))
    return environment


def servers_environment() -> dict[str, str]:
    """The environment of the servers that `servers_up` left running; empty when one of them does not run."""
    base = _people_state().parent
    if not _people_state().exists() or None in [Daemon(n, [], base / n).pid for n in ("rabbitmq", "postgres")]:
        return {}
    found: dict[str, str] = json.loads(_people_state().read_text())
    return found


def servers_down() -> None:
    """Stop the servers of `servers_up` and remove their data."""
    base = _people_state().parent
    for folder, name, number in (
        ("rabbitmq", "rabbitmq", signal.SIGTERM),
        ("rabbitmq", "epmd", signal.SIGTERM),
        ("postgres", "postgres", signal.SIGINT),
    ):
        Daemon(name, [], base / folder).stop(seconds=40, number=number)
    shutil.rmtree(base, ignore_errors=True)
