"""What each fault of the ledger does to the run's processes, wires and servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.breaking import break_process, break_wire
from tests.chaos.lanes import Lanes, freeze
from tests.chaos.plan import Fault, Kind
from tests.chaos.stage import QUEUE
from tests.rig.rabbitmq_cluster import ClusterNode
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.stage import Stage
    from tests.rig.hostservices import RabbitMQ

# What a slow wire costs each piece of data, in seconds.
SLOWNESS = 0.08
REJOIN_SECONDS = 240


class Faults(Lanes):
    """A plan of the fault ledger under way."""

    breathers = frozenset({"broker", "database"})

    def __init__(self, plan: Sequence[Fault], stage: Stage) -> None:
        super().__init__(plan, stage.folder)
        self.stage = stage

    def apply(self, fault: Fault) -> None:
        """Break what the fault names, and heal it."""
        if fault.line:
            self._break_wire(fault)
        elif fault.lane == "broker":
            self._break_broker(fault)
        elif fault.lane == "database":
            self._break_database(fault)
        else:
            self._break_process(fault)

    def _break_process(self, fault: Fault) -> None:
        process = self.stage.processes[fault.target]
        self.await_victim(lambda: process.runs)
        break_process(process, fault)

    def _break_wire(self, fault: Fault) -> None:
        proxy, doors = self.stage.proxy, self.stage.doors[fault.target, fault.line]
        self.await_victim(lambda: any(door.pairs for door in doors))
        break_wire(proxy, doors, fault, SLOWNESS)

    def _break_broker(self, fault: Fault) -> None:
        node = self.stage.brokers[fault.target]
        if fault.kind is Kind.KILL:
            node.kill()
            node.start()
        elif fault.kind is Kind.RESTART:
            node.restart()
        else:
            nodes = self.stage.brokers.values() if fault.detail == "all nodes" else [node]
            freeze([pid for each in nodes if (pid := each.pid)], fault.seconds)
        if isinstance(node, ClusterNode):
            size = len(self.stage.brokers)
            wait_until(f"{fault.target} is back", lambda: self._whole(node, size), seconds=REJOIN_SECONDS)

    @staticmethod
    def _whole(node: RabbitMQ, size: int) -> bool:
        """Whether the cluster has all its nodes and the queue all its members again."""
        assert isinstance(node, ClusterNode)
        queue = node.api.queue(QUEUE) or {}
        return node.has_joined(size) and len(queue.get("online", [])) == size

    def _break_database(self, fault: Fault) -> None:
        server = self.stage.postgres
        if fault.kind is Kind.KILL:
            server.kill()
            server.start()
        elif fault.kind is Kind.RESTART:
            server.restart()
        else:
            pid = server._server.pid
            freeze([pid, *server._children()] if pid else [], fault.seconds)
