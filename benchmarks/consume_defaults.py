"""A callback that saves, at the seed's and Django's defaults: prefetch 1, one worker, no connection kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness.consuming import consume
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

CALLBACK = "bench_callbacks.save"


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours."""
    return consume(on, on.ours, CALLBACK, scale.of(3000)).figures("ours")


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the peer."""
    return consume(on, on.peer, CALLBACK, scale.of(600)).figures("peer")


SCENARIO = Scenario(
    title="consume at all defaults",
    unit="messages/s",
    measures={"ours": ours, "peer": peer},
    targets=[Target("ours", over="peer", at_least=8)],
    quick=0.1,
)
