"""A callback that takes a hundred messages at a time, against the peer's best, which takes one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import consume_write
from benchmarks.harness.consuming import consume
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours."""
    count = scale.of(30_000, 2000)
    options = ["--concurrency", "3", "--prefetch", "800"]
    return consume(on, on.ours, "bench_batches.write_rows", count, *options, conn_max_age=600).figures("ours")


SCENARIO = Scenario(
    title="consume in batches of 100",
    unit="messages/s",
    measures={"ours": ours, "peer": consume_write.peer},
    targets=[Target("ours", over="peer", at_least=12)],
    quick=0.05,
)
