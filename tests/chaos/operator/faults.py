"""What each fault does to the operators, their wires and the API server; changes are in ``changes``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tests.chaos.breaking import break_process, break_wire
from tests.chaos.lanes import Lanes, freeze
from tests.chaos.operator.changes import carry_out
from tests.chaos.operator.plan import API_SERVER, THROTTLE
from tests.chaos.operator.stage import GROUP
from tests.chaos.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.operator.stage import Stage
    from tests.chaos.plan import Fault

SLOWNESS: Final = 0.05
"""What a slow wire costs each piece of data, in seconds."""


class Faults(Lanes):
    """A plan under way."""

    breathers = frozenset({API_SERVER})

    def __init__(self, plan: Sequence[Fault], stage: Stage) -> None:
        super().__init__(plan, stage.folder)
        self._stage = stage

    def apply(self, fault: Fault) -> None:
        """Break or change what the fault names, and heal it."""
        if fault.line:
            self._break_wire(fault)
        elif fault.target == API_SERVER:
            self._break_server(fault)
        elif fault.target == THROTTLE:
            self._throttle(fault)
        elif fault.target in self._stage.operators:
            self._break_operator(fault)
        else:
            carry_out(self._stage.people, fault)

    def _break_operator(self, fault: Fault) -> None:
        process = self._stage.operators[fault.target]
        self.await_victim(lambda: process.runs)
        break_process(process, fault)

    def _break_wire(self, fault: Fault) -> None:
        proxy, door = self._stage.proxy, self._stage.doors[fault.target]
        self.await_victim(lambda: door.pairs)
        break_wire(proxy, [door], fault, SLOWNESS)

    def _break_server(self, fault: Fault) -> None:
        server = self._stage.server
        if fault.kind is Kind.KILL:
            server.kill()
            server.start()
        elif fault.kind is Kind.RESTART:
            server.restart()
        else:
            freeze([server.pid] if server.pid else [], fault.seconds)
        # Kubernetes' garbage collector (1.34) can go on with what it knew before and then never lets go of a resource
        # that is deleted without its children. It is not on trial.
        server.restart_controller_manager()

    def _throttle(self, fault: Fault) -> None:
        """Have the API server answer every request of the operators with 429 for a while."""
        people = self._stage.people
        limited = {"nominalConcurrencyShares": 0, "lendablePercent": 0, "limitResponse": {"type": "Reject"}}
        people.create(_flow("PriorityLevelConfiguration", {"type": "Limited", "limited": limited}))
        rule = {
            "subjects": [{"kind": "Group", "group": {"name": GROUP}}],
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
            ],
        }
        schema = {"priorityLevelConfiguration": {"name": THROTTLE}, "matchingPrecedence": 2, "rules": [rule]}
        people.create(_flow("FlowSchema", schema))
        time.sleep(fault.seconds)
        people.delete("FlowSchema", THROTTLE)
        people.delete("PriorityLevelConfiguration", THROTTLE)


def _flow(kind: str, spec: dict[str, object]) -> dict[str, object]:
    api_version = "flowcontrol.apiserver.k8s.io/v1"
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": THROTTLE}, "spec": spec}
