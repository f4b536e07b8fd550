"""RabbitMQ as a process of this machine: one node with STOMP, management and metrics, on wish a TLS listener too."""

from __future__ import annotations

import contextlib
import shutil
import urllib.error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.rig.amqp import Account, QueueCount, count
from tests.rig.hostservices.common import HOST, START_SECONDS, own, run_as
from tests.rig.process import Daemon, find_program, free_port, port_open, run
from tests.rig.rabbitmq_api import ManagementApi
from tests.rig.waiting import RigError, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.rig.certificates import Pair


@dataclass(frozen=True)
class TlsListener:
    """What a broker shows on its TLS port, and whom it lets in: `authority` is whose client certificates it trusts."""

    pair: Pair
    authority: Path
    client_required: bool = False


class RabbitMQ:
    """One RabbitMQ node with the plugins stomp, management and prometheus; data stays over stop, kill and start.

    Set `tls` before a start to have STOMP over TLS on `stomp_tls_port` as well.
    """

    username = "outbox"
    passcode = "outbox-secret"
    vhost = "/"
    host = HOST

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.user = run_as("rabbitmq")
        self.tls: TlsListener | None = None
        self.stomp_port, self.amqp_port, self.mgmt_port = free_port(), free_port(), free_port()
        self.stomp_tls_port = free_port()
        self.prometheus_port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self.api = ManagementApi(f"http://{HOST}:{self.mgmt_port}", self.username, self.passcode, self.vhost)
        self._environment = self._environment_of_the_node()
        self._epmd, self._node = self._daemons()

    def _environment_of_the_node(self) -> dict[str, str]:
        home = self.directory / "home"
        return {
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

    def _daemons(self) -> tuple[Daemon, Daemon]:
        server = find_program("rabbitmq-server", "/usr/lib/rabbitmq/bin", package="rabbitmq-server")
        epmd = find_program("epmd", package="erlang-base")
        epmd_argv = [str(epmd), "-address", HOST, "-port", str(self._epmd_port)]
        return (
            Daemon("epmd", epmd_argv, self.directory, user=self.user),
            Daemon("rabbitmq", [str(server)], self.directory, self._environment, self.user),
        )

    def _write_configuration(self) -> None:
        own(self.directory, self.user)
        cookie = own(self.directory / "home", self.user) / ".erlang.cookie"
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
            "disk_free_limit.absolute = 50MB\n" + self._tls_configuration()
        )

    def _tls_configuration(self) -> str:
        if self.tls is None:
            return ""
        folder = own(self.directory / "tls", self.user)
        files = {"cacertfile": self.tls.authority, "certfile": self.tls.pair.certificate, "keyfile": self.tls.pair.key}
        lines = [f"stomp.listeners.ssl.1 = {HOST}:{self.stomp_tls_port}", "ssl_options.verify = verify_peer"]
        lines.append(f"ssl_options.fail_if_no_peer_cert = {str(self.tls.client_required).lower()}")
        for name, source in files.items():
            copy = shutil.copy(source, folder / f"{name}.pem")
            if self.user:
                shutil.chown(copy, self.user)
            lines.append(f"ssl_options.{name} = {copy}")
        return "\n".join(lines) + "\n"

    def start(self) -> None:
        """Start the broker and wait until STOMP, AMQP and the management API answer."""
        self._write_configuration()
        self._epmd.start()
        self._epmd.wait_ready("answers", lambda: port_open(self._epmd_port), seconds=10)
        self._node.start()
        self._node.wait_ready("STOMP and management answer", self._answers, seconds=START_SECONDS)

    @property
    def pid(self) -> int | None:
        """The id of the broker's process, None when it does not run."""
        return self._node.pid

    def _answers(self) -> bool:
        ports = [self.stomp_port, self.amqp_port, *([self.stomp_tls_port] if self.tls else [])]
        if not all(port_open(port) for port in ports):
            return False
        try:
            return self.api.call("GET", "whoami") is not None
        except (urllib.error.URLError, RigError):
            return False

    def stop(self) -> None:
        """Stop in good order (SIGTERM); durable queues and persistent messages stay."""
        self._node.stop(seconds=40)
        self._epmd.stop(seconds=5)

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl on this node and return what it printed."""
        program = find_program("rabbitmqctl", "/usr/lib/rabbitmq/bin", package="rabbitmq-server")
        return run([str(program), *arguments], environment=self._environment, user=self.user)

    @contextlib.contextmanager
    def out_of_memory(self) -> Iterator[None]:
        """Within the block the memory alarm is set: connections that publish are not read from."""
        self.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            yield
        finally:
            self.ctl("set_vm_memory_high_watermark", "0.6")

    def settle(self, *awaited: str) -> None:
        """Wait until these queues are there, and see to it that all that is declared outlives a SIGKILL.

        RabbitMQ 3.10.8 does not see to that by itself for a while: of classic queues that a kill followed within a
        second, 1 in 30 was gone with its confirmed messages, although its declaration was in Mnesia's log; a quorum
        queue is written down about a second later, and otherwise there afterwards without ever answering. Neither is a
        fault to put a worker to.
        """
        wait_until(f"{', '.join(awaited)}", lambda: {*awaited} <= {*self.api.queues()}, seconds=60)
        self.ctl("eval", "mnesia:dump_log().")
        names = [name.encode() for name in self.api.queues(kind="quorum")]
        if not names:
            return
        files = list((self.directory / "home" / "mnesia").glob("*/quorum/*/names.dets"))
        wait_until(
            "the quorum queues to be written down",
            lambda: any(all(name in file.read_bytes() for name in names) for file in files),
            seconds=60,
        )

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
