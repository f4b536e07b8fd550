"""Which fault happens when: a pure function of the seed, so that a run can be repeated.

A plan is made of lanes: one for each process, one for each process's wire, one for the broker (all its nodes), one for
the database. Faults of one lane follow each other; those of different lanes may meet, and do. ``faults.py`` carries a
plan out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Kind(StrEnum):
    """What is done to a target."""

    KILL = "kill"
    FREEZE = "freeze"
    LONG_FREEZE = "long freeze"
    RESTART = "restart"
    CUT = "cut"
    STALL = "stall"
    HALF_OPEN = "half-open"
    SLOW = "slow"


@dataclass(frozen=True)
class Fault:
    """At ``at`` seconds do ``kind`` to ``target`` for ``seconds``; ``line`` is which wire of a worker it is about."""

    at: float
    kind: StrEnum
    target: str
    seconds: float = 0.0
    line: str = ""
    detail: str = ""

    @property
    def lane(self) -> str:
        """What must not have two faults at the same time."""
        if self.line:
            return f"{self.target}:{self.line}"
        return "broker" if self.target.startswith("broker") else self.target

    @property
    def name(self) -> str:
        """The fault's row in the ledger's table."""
        if self.line:
            return f"wire to {self.line}"
        return self.target.rstrip("-0123456789")

    def __str__(self) -> str:
        target = f"{self.target}'s wire to the {self.line}" if self.line else self.target
        words = f"{self.kind} {target}" + (f" ({self.detail})" if self.detail else "")
        return f"{words} for {self.seconds:.1f} s" if self.seconds else words


@dataclass(frozen=True)
class Cast:
    """Who takes part. ``workers`` are processes with a wire to the broker and one to the database."""

    workers: Sequence[str]
    producers: Sequence[str]
    brokers: Sequence[str]
    lease: float
    heartbeat: float


@dataclass(frozen=True)
class Shape:
    """What a kind of fault looks like: its share of its group, and how long it lasts at least and at most."""

    share: float
    shortest: float = 0.0
    longest: float = 0.0
    details: tuple[str, ...] = ("",)


T = TypeVar("T")

# Of all faults; what is left after the servers are faults of processes and wires, half and half.
# A single broker takes seconds to start, in which nothing else can be tried; a cluster goes on.
_BROKER_SHARE = {"one": 0.05, "cluster": 0.07}
_DATABASE_SHARE = 0.08
_PRODUCER_SHARE = 0.05


def make_plan(seed: int, faults: int, seconds: float, cast: Cast) -> tuple[Fault, ...]:
    """Return the faults of a run in the order of their times. The same arguments give the same plan."""
    chooser = random.Random(seed)
    # However short the run, a cluster loses more than one of its nodes.
    share = _BROKER_SHARE["cluster" if len(cast.brokers) > 1 else "one"]
    broker = max(round(faults * share), min(2, len(cast.brokers)))
    database = round(faults * _DATABASE_SHARE)
    producer = round(faults * _PRODUCER_SHARE)
    processes = (faults - broker - database - producer) // 2
    wires = faults - broker - database - producer - processes
    plan = [
        *spread(chooser, broker, seconds, _broker_shapes(cast), cast.brokers),
        *spread(chooser, database, seconds, _DATABASE_SHAPES, ["database"]),
        *spread(chooser, processes, seconds, _process_shapes(cast), cast.workers),
        *spread(chooser, producer, seconds, _wire_shapes(cast), cast.producers, ("database",)),
        *spread(chooser, wires, seconds, _wire_shapes(cast), cast.workers, ("broker", "database")),
    ]
    return tuple(sorted(plan, key=lambda fault: (fault.at, fault.lane)))


def _process_shapes(cast: Cast) -> dict[Kind, Shape]:
    return {
        Kind.KILL: Shape(0.4),
        Kind.RESTART: Shape(0.2),
        Kind.FREEZE: Shape(0.3, 0.5, cast.heartbeat * 2.5),
        Kind.LONG_FREEZE: Shape(0.1, cast.lease + 1, cast.lease + 4),
    }


def _wire_shapes(cast: Cast) -> dict[Kind, Shape]:
    return {
        Kind.CUT: Shape(0.4),
        Kind.STALL: Shape(0.2, 0.3, cast.heartbeat * 2.5, ("both ways", "requests", "answers")),
        Kind.HALF_OPEN: Shape(0.25, 1.0, cast.lease, ("no end knows", "the server knows", "the worker knows")),
        Kind.SLOW: Shape(0.15, 2.0, 6.0),
    }


def _broker_shapes(cast: Cast) -> dict[Kind, Shape]:
    shapes = {
        Kind.KILL: Shape(0.35),
        Kind.RESTART: Shape(0.25),
        Kind.FREEZE: Shape(0.25, 0.5, 3.0),
        Kind.LONG_FREEZE: Shape(0.15, cast.heartbeat * 2.5, cast.heartbeat * 4),
    }
    if len(cast.brokers) > 1:
        # Fewer than half may be away, except for moments in which all stand still.
        shapes[Kind.FREEZE] = Shape(0.25, 0.5, 3.0, ("this node", "all nodes"))
    return shapes


_DATABASE_SHAPES = {Kind.KILL: Shape(0.4), Kind.RESTART: Shape(0.35), Kind.FREEZE: Shape(0.25, 0.5, 6.0)}


def spread(
    chooser: random.Random,
    count: int,
    seconds: float,
    shapes: Mapping[Any, Shape],
    targets: Sequence[str],
    lines: tuple[str, ...] = ("",),
) -> list[Fault]:
    """Return ``count`` faults, evenly spread with jitter; shares are kept exactly, their order is chance.

    Each kind goes round all places in turn, so that each place has each kind where there are enough of it.
    """
    places = _shuffled(chooser, [(target, line) for target in targets for line in lines])
    what = [(kind, places[index % len(places)]) for index, kind in enumerate(_by_share(shapes, count))]
    found = []
    for index, (kind, (target, line)) in enumerate(_shuffled(chooser, what)):
        shape = shapes[kind]
        found.append(
            Fault(
                at=round((index + chooser.random()) / count * seconds, 2),
                kind=kind,
                target=target,
                seconds=round(chooser.uniform(shape.shortest, shape.longest), 2),
                line=line,
                detail=chooser.choice(shape.details),
            )
        )
    return found


def _by_share(shapes: Mapping[Any, Shape], count: int) -> list[StrEnum]:
    """Return ``count`` kinds, each as often as its share says; a kind that would be missing comes before a rounding."""
    wanted = {kind: shape.share * count for kind, shape in shapes.items()}
    counts = {kind: int(number) for kind, number in wanted.items()}
    while sum(counts.values()) < count:
        counts[max(counts, key=lambda kind: (counts[kind] == 0, wanted[kind] - counts[kind]))] += 1
    return [kind for kind, number in counts.items() for _ in range(number)]


def _shuffled(chooser: random.Random, items: list[T]) -> list[T]:
    chooser.shuffle(items)
    return items
