"""Which fault and which change happens when: a pure function of the seed, so that a run can be repeated.

One lane for each operator, each operator's wire, the API server, the throttle, and each object that people change. What
is carried out is in ``faults`` and ``changes``.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from outbox_operator.leader import LEASE_SECONDS
from tests.chaos.plan import Fault, Kind, Shape, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

OPERATORS: Final = ("operator-1", "operator-2")
API_SERVER: Final = "API server"
THROTTLE: Final = "throttle"


class Change(StrEnum):
    """What people, and other programs, do to objects meanwhile."""

    IMAGE = "new image"
    SCALE = "new number of replicas"
    STATE = "suspended or resumed"
    ENVIRONMENT = "another Secret"
    REMOVE = "removed for a while"
    REPLACE = "removed and made again at once"
    ORPHAN = "removed without its Deployment, made again"
    STATUS = "status overwritten"
    CHILD_DELETED = "Deployment deleted"
    CHILD_EDITED = "Deployment's image edited"
    CHILD_SCALED = "Deployment scaled"
    CHILD_STRIPPED = "Deployment's labels and owner removed"
    DATA = "new data"
    THROTTLE = "too many requests"


_RESOURCE_SHAPES: Final = {
    Change.IMAGE: Shape(0.12, details=tuple(f"shop:{number}" for number in range(2, 9))),
    Change.SCALE: Shape(0.1, details=("0", "1", "2", "3")),
    Change.STATE: Shape(0.1, details=("Suspended", "Running")),
    Change.ENVIRONMENT: Shape(0.08, details=("secret-1", "secret-2", "secret-3")),
    Change.REMOVE: Shape(0.08, 0.5, 10.0),
    Change.REPLACE: Shape(0.08),
    Change.ORPHAN: Shape(0.07, 0.0, 5.0),
    Change.STATUS: Shape(0.05),
    Change.CHILD_DELETED: Shape(0.1),
    Change.CHILD_EDITED: Shape(0.1, details=tuple(f"evil:{number}" for number in range(1, 5))),
    Change.CHILD_SCALED: Shape(0.07, details=("0", "5", "9")),
    Change.CHILD_STRIPPED: Shape(0.05),
}
_SECRET_SHAPES: Final = {
    Change.DATA: Shape(0.7, details=tuple(f"value-{number}" for number in range(2, 99))),
    Change.REMOVE: Shape(0.3, 0.5, 10.0),
}
_WORKLOAD_SHAPES: Final = {
    Change.IMAGE: Shape(0.7, details=tuple(f"web:{number}" for number in range(2, 99))),
    Change.REMOVE: Shape(0.3, 0.5, 10.0),
}
_OPERATOR_SHAPES: Final = {
    Kind.KILL: Shape(0.4),
    Kind.RESTART: Shape(0.25),
    Kind.FREEZE: Shape(0.2, 0.5, 5.0),
    # Another has the lead when it wakes.
    Kind.LONG_FREEZE: Shape(0.15, LEASE_SECONDS + 2, LEASE_SECONDS + 8),
}
_WIRE_SHAPES: Final = {
    Kind.CUT: Shape(0.35),
    # Below the margin that a leader leaves between its last write and the end of its Lease.
    Kind.STALL: Shape(0.2, 0.3, 2.5, ("both ways", "requests", "answers")),
    Kind.HALF_OPEN: Shape(0.3, 1.0, LEASE_SECONDS + 8, ("no end knows", "the server knows", "the worker knows")),
    Kind.SLOW: Shape(0.15, 2.0, 6.0),
}
_SERVER_SHAPES: Final = {
    Kind.KILL: Shape(0.4),
    Kind.RESTART: Shape(0.3),
    Kind.FREEZE: Shape(0.2, 0.5, 5.0),
    Kind.LONG_FREEZE: Shape(0.1, LEASE_SECONDS, LEASE_SECONDS + 5),
}
_THROTTLE_SHAPES: Final = {Change.THROTTLE: Shape(1.0, 2.0, 8.0)}


def make_plan(
    seed: int, faults: int, seconds: float, resources: Sequence[str], secrets: Sequence[str], workloads: Sequence[str]
) -> tuple[Fault, ...]:
    """Return the faults and changes of a run in the order of their times. The same arguments give the same plan."""
    chooser = random.Random(seed)
    servers, throttles = max(1, round(faults * 0.05)), max(1, round(faults * 0.03))
    operators, wires = round(faults * 0.16), round(faults * 0.16)
    in_secrets, in_workloads = round(faults * 0.07), round(faults * 0.05)
    left = faults - servers - throttles - operators - wires - in_secrets - in_workloads
    plan = [
        *spread(chooser, servers, seconds, _SERVER_SHAPES, [API_SERVER]),
        *spread(chooser, throttles, seconds, _THROTTLE_SHAPES, [THROTTLE]),
        *spread(chooser, operators, seconds, _OPERATOR_SHAPES, OPERATORS),
        *spread(chooser, wires, seconds, _WIRE_SHAPES, OPERATORS, (API_SERVER,)),
        *spread(chooser, in_secrets, seconds, _SECRET_SHAPES, secrets),
        *spread(chooser, in_workloads, seconds, _WORKLOAD_SHAPES, workloads),
        *spread(chooser, left, seconds, _RESOURCE_SHAPES, resources),
    ]
    return tuple(sorted(plan, key=lambda fault: (fault.at, fault.lane)))
