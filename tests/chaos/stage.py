"""Everything a run needs: servers, the proxy's doors, and the workers between them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.processes import Process
from tests.rig.hostservices import Postgres, RabbitMQ
from tests.rig.hostservices.common import services_directory
from tests.rig.peers import LAST, peer_python
from tests.rig.process import free_port
from tests.rig.proxy import Door, Proxy
from tests.rig.rabbitmq_cluster import RabbitMQCluster
from tests.rig.rundirs import run_directory
from tests.rig.waiting import RigError, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION = Path(__file__).parent / "application"
QUEUE = "chaos"
DESTINATION = "/topic/chaos.numbers"
# Messages with keys go here; QUEUE gets them too. Nobody reads ORDER_QUEUE: it keeps the order that they arrived in.
KEYED_DESTINATION = "/topic/chaos.keyed"
ORDER_QUEUE = "chaos-order"
DEAD_LETTERS = f"DLQ.{QUEUE}"
LEASE_SECONDS = 8
HEARTBEAT_SECONDS = 2
RETRY_DELAYS = (2, 5, 10, 20, 40)
START_SECONDS = 180  # for everything that is a matter of seconds on an idle machine


@dataclass(frozen=True)
class Library:
    """What is put to the test: ours, or the peer in an environment of its own.

    The peer has no probes, no batches, and no retries: a message that fails once is a dead letter with it.
    """

    name: str
    python: str
    is_ours: bool
    prefetch: str


def ours() -> Library:
    """Return the library of this repository."""
    return Library("django-outbox-operator", sys.executable, is_ours=True, prefetch="100")


def peer() -> Library:
    """Return the peer's last release, installed if need be, with the prefetch that is its default."""
    return Library(f"django-outbox-pattern {LAST}", str(peer_python(LAST)), is_ours=False, prefetch="1")


@dataclass(frozen=True)
class Size:
    """How many of each take part, and how much they do."""

    relays: int = 2
    consumers: int = 3
    producers: int = 2
    brokers: int = 1
    rate: float = 200.0
    fails: int = 0  # of so many messages one fails at its first try; 0: none does
    seed: int = 0


@dataclass
class Stage:
    """The run's servers and workers. ``doors`` are by worker and line."""

    library: Library
    size: Size
    folder: Path
    proxy: Proxy
    postgres: Postgres
    brokers: dict[str, RabbitMQ]
    doors: dict[tuple[str, str], list[Door]] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)

    @property
    def workers(self) -> list[str]:
        """The names of relays and consumers."""
        return [name for name in self.processes if not name.startswith("producer")]

    @property
    def producers(self) -> list[str]:
        """The names of the producers."""
        return [name for name in self.processes if name.startswith("producer")]

    @property
    def broker(self) -> RabbitMQ:
        """A broker to ask; in a cluster each knows of all."""
        return next(iter(self.brokers.values()))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database past the proxy."""
        with self.postgres.connect(self.postgres.dbname, connect_timeout=5) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def migrate(self) -> None:
        """Make the tables."""
        done = subprocess.run(
            [self.library.python, "manage.py", "migrate", "--run-syncdb", "--verbosity=0"],
            cwd=APPLICATION,
            env={**os.environ, **self._environment(self._direct(), [[self.broker.host, self.broker.stomp_port]])},
            check=False,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
        )
        if done.returncode:
            raise RigError(f"migrate failed:\n{done.stdout}{done.stderr}")
        self.rows("CREATE SEQUENCE order_numbers CACHE 1")

    def add_workers(self) -> None:
        """Prepare the processes, each with wires of its own."""
        for number in range(self.size.relays):
            self._add(f"relay-{number + 1}", number, ["publish"])
        for number in range(self.size.consumers):
            # The last takes batches: both ways must agree on what has had its effect.
            callback = "apply_where_possible_many" if number + 1 == self.size.consumers else "apply"
            arguments = ["subscribe", f"ledger.callbacks.{callback}", DESTINATION, QUEUE]
            self._add(f"consumer-{number + 1}", number + 1, arguments)
        for number in range(self.size.producers):
            name = f"producer-{number + 1}"
            rate, seed = self.size.rate / self.size.producers, self.size.seed + number
            notes = self.folder / f"{name}-rolled-back.txt"
            arguments = [f"--rate={rate}", f"--destination={DESTINATION}", f"--keyed-destination={KEYED_DESTINATION}"]
            arguments += [f"--name={name}", f"--seed={seed}", f"--rolled-back={notes}"]
            self._add(name, number, ["produce", *arguments])

    def start(self) -> None:
        """Start consumers first: what is sent to a topic before a queue is bound to it is nobody's."""
        consumers = [process for name, process in self.processes.items() if name.startswith("consumer")]
        for process in consumers:
            process.start()
        wait_until("the queue is there", self._bound, seconds=START_SECONDS, state=lambda: tail(consumers[0].log))
        self._bind_keyed()
        others = [process for process in self.processes.values() if process not in consumers]
        for process in others:
            process.start()
        for process in [*consumers, *others]:
            wait_until(
                f"{process.name} is ready", process.is_ready, seconds=START_SECONDS, state=lambda p=process: tail(p.log)
            )  # type: ignore[misc]
        for broker in self.brokers.values():
            broker.settle()

    def _bind_keyed(self) -> None:
        """Let both queues have the messages with keys, before there are any."""
        api = self.broker.api
        api.declare_queue(ORDER_QUEUE, arguments={"x-queue-type": "quorum" if len(self.brokers) > 1 else "classic"})
        for queue in (QUEUE, ORDER_QUEUE):
            api.bind_queue(queue, exchange="amq.topic", routing_key=KEYED_DESTINATION.removeprefix("/topic/"))

    def _bound(self) -> bool:
        return self.broker.queue_depth(QUEUE) is not None and self.broker.queue_depth(DEAD_LETTERS) is not None

    def _add(self, name: str, turn: int, arguments: list[str]) -> None:
        database = self.proxy.open(f"{name} to the database", (self.postgres.host, self.postgres.port))
        self.doors[name, "database"] = [database]
        doors = []
        if not name.startswith("producer"):
            doors = [
                self.proxy.open(f"{name} to {broker}", (server.host, server.stomp_port))
                for broker, server in self.brokers.items()
            ]
            self.doors[name, "broker"] = doors
        has_port = self.library.is_ours and not name.startswith("producer")
        port = free_port() if has_port else None
        if port is not None:
            arguments = [*arguments, f"--metrics-port={port}"]
        # Each begins with another host, so that the nodes share the work.
        first = turn % len(doors) if doors else 0
        hosts = [["127.0.0.1", door.port] for door in [*doors[first:], *doors[:first]]]
        self.processes[name] = Process(
            name=name,
            argv=[self.library.python, "manage.py", *arguments],
            environment=self._environment({**self._direct(), "PORT": database.port}, hosts),
            directory=APPLICATION,
            log=self.folder / f"{name}.log",
            port=port,
        )

    def _direct(self) -> dict[str, Any]:
        server = self.postgres
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": server.dbname,
            "HOST": server.host,
            "PORT": server.port,
            "USER": server.user,
            "PASSWORD": server.password,
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"connect_timeout": 5},
        }

    def _environment(self, database: dict[str, Any], hosts: list[list[Any]]) -> dict[str, str]:
        queue = {"durable": "true", "auto-delete": "false", "prefetch-count": self.library.prefetch}
        if len(self.brokers) > 1:
            queue["x-queue-type"] = "quorum"
        outbox = {
            "DEFAULT_STOMP_HOST_AND_PORTS": hosts,
            "DEFAULT_STOMP_USERNAME": self.broker.username,
            "DEFAULT_STOMP_PASSCODE": self.broker.passcode,
            "DEFAULT_STOMP_QUEUE_HEADERS": queue,
            "DEFAULT_STOMP_HEARTBEATS": [HEARTBEAT_SECONDS * 1000] * 2,
            "DEFAULT_MAXIMUM_BACKOFF": 4,
            "DEFAULT_PAUSE_FOR_RETRY": 5,
            "DEFAULT_WAIT_RETRY": 2,
            "DEFAULT_CONSUMER_RETRY_WAIT": 1,
            "DEFAULT_CONSUMER_SHUTDOWN_TIMEOUT": 10,
        }
        if self.library.is_ours:
            outbox |= {
                "CLAIM_LEASE": LEASE_SECONDS,
                "RECEIPT_TIMEOUT": 3,
                "SHUTDOWN_TIMEOUT": 10,
                "PUBLISH_BATCH_SIZE": 200,
                "CONSUMER_PREFETCH": 100,
                "CONSUMER_CONCURRENCY": 3,
                "CONSUMER_RETRY_DELAYS": RETRY_DELAYS,
            }
        return {
            "DJANGO_SETTINGS_MODULE": "settings",
            "CHAOS_DATABASE": json.dumps(database),
            "CHAOS_OUTBOX": json.dumps(outbox),
            "CHAOS_FAILS": str(self.size.fails),
            "PYTHONUNBUFFERED": "1",
        }


@contextlib.contextmanager
def stage(library: Library, size: Size, folder: Path) -> Iterator[Stage]:
    """Servers, proxy and tables, ready for workers; all of it is ended and removed at the end, but for the logs."""
    with run_directory(services_directory()) as directory, contextlib.ExitStack() as stack:
        postgres = Postgres(directory / "postgres")
        stack.callback(_keep_log, directory / "postgres" / "postgres.log", folder)
        stack.callback(postgres.kill)
        postgres.start()
        brokers = _brokers(size.brokers, directory, folder, stack)
        proxy = stack.enter_context(Proxy())
        found = Stage(library, size, folder, proxy, postgres, brokers)
        stack.callback(lambda: [process.stop(1) for process in found.processes.values()])
        found.migrate()
        found.add_workers()
        yield found


def _brokers(count: int, directory: Path, folder: Path, stack: contextlib.ExitStack) -> dict[str, RabbitMQ]:
    if count == 1:
        broker = RabbitMQ(directory / "rabbitmq")
        stack.callback(_keep_log, directory / "rabbitmq" / "rabbitmq.log", folder)
        stack.callback(broker.kill)
        broker.start()
        return {"broker": broker}
    cluster = RabbitMQCluster(directory, count)
    for node in cluster.nodes:
        stack.callback(_keep_log, node.directory / "rabbitmq.log", folder, f"broker-{node.number}.log")
    stack.callback(cluster.kill)
    cluster.start()
    return {f"broker-{node.number}": node for node in cluster.nodes}


def _keep_log(log: Path, folder: Path, name: str = "") -> None:
    if folder.exists() and log.exists():
        (folder / (name or log.name)).write_bytes(log.read_bytes())
