"""Three RabbitMQ nodes on this machine that form one cluster, for quorum queues.

The nodes share one epmd and know each other's names; the first is started before the others, which join it. Each can
be killed, frozen, stopped and started like a single broker; data stay. A node that is cut off from the majority pauses,
as RabbitMQ recommends for three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.rig.hostservices import RabbitMQ
from tests.rig.process import Daemon, free_port
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

JOIN_SECONDS = 180


class ClusterNode(RabbitMQ):
    """One node. ``epmd`` is shared, and so it is not stopped with the node."""

    def __init__(self, directory: Path, number: int, epmd: Daemon, epmd_port: int) -> None:
        self._shared_epmd, self._shared_epmd_port = epmd, epmd_port
        self.number = number
        self.peers: Sequence[str] = ()
        super().__init__(directory)

    @property
    def name(self) -> str:
        """The Erlang node's name."""
        return f"rig-{self._shared_epmd_port}-{self.number}@localhost"

    def _environment_of_the_node(self) -> dict[str, str]:
        self._epmd_port = self._shared_epmd_port
        return {**super()._environment_of_the_node(), "RABBITMQ_NODENAME": self.name}

    def _daemons(self) -> tuple[Daemon, Daemon]:
        _, node = super()._daemons()
        return self._shared_epmd, node

    def _write_configuration(self) -> None:
        super()._write_configuration()
        lines = ["cluster_formation.peer_discovery_backend = classic_config"]
        lines += [f"cluster_formation.classic_config.nodes.{n} = {peer}" for n, peer in enumerate(self.peers, start=1)]
        # The nodes are started one after the other here: nothing to wait for, nothing to draw lots about.
        lines += ["cluster_partition_handling = pause_minority", "mnesia_table_loading_retry_timeout = 10000"]
        with (self.directory / "rabbitmq.conf").open("a") as configuration:
            configuration.write("\n".join(lines) + "\n")

    def stop(self) -> None:
        """Stop this node in good order; the others go on."""
        self._node.stop(seconds=60)

    def has_joined(self, nodes: int) -> bool:
        """Whether the node sees so many running nodes, itself among them."""
        running = [node for node in self.api.call("GET", "nodes") or [] if node.get("running")]
        return len(running) == nodes


class RabbitMQCluster:
    """The nodes together. Accounts and the virtual host are those of a single broker."""

    def __init__(self, directory: Path, size: int = 3) -> None:
        self.directory = directory
        epmd_port = free_port()
        epmd = ClusterEpmd.make(directory / "epmd", epmd_port)
        self.epmd = epmd
        self.nodes = [
            ClusterNode(directory / f"rabbitmq-{number}", number, epmd, epmd_port) for number in range(1, size + 1)
        ]
        for node in self.nodes:
            node.peers = [other.name for other in self.nodes]

    def start(self) -> None:
        """Start the nodes and wait until they are one cluster."""
        for number, node in enumerate(self.nodes, start=1):
            node.start()
            wait_until(f"{node.name} joined", lambda n=node, c=number: n.has_joined(c), seconds=JOIN_SECONDS)  # type: ignore[misc]

    def kill(self) -> None:
        """End all nodes at once."""
        for node in self.nodes:
            node.kill()
        self.epmd.kill()


class ClusterEpmd:
    """The nodes' common name server."""

    @staticmethod
    def make(directory: Path, port: int) -> Daemon:
        """Return the daemon; it is started with the first node."""
        template = RabbitMQ(directory)
        epmd = template._epmd
        epmd.argv[-1] = str(port)
        epmd.directory = directory
        return epmd
