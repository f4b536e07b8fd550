"""A few thousand messages or a million: the same time for each, and the same memory for the workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import publish
from benchmarks.harness.consuming import consume
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

FEW, MANY = 5000, 1_000_000
CONSUMED = 50_000


def few(on: Stage, scale: Scale) -> dict[str, float]:
    """Publish a few."""
    done = publish.work_off(on, FEW)
    return {f"{FEW:,} rows": done.rate, f"relay's memory at {FEW:,} (MB)": done.megabytes}


def many(on: Stage, scale: Scale) -> dict[str, float]:
    """Publish many."""
    done = publish.work_off(on, scale.of(MANY, 2 * FEW))
    return {f"{MANY:,} rows": done.rate, f"relay's memory at {MANY:,} (MB)": done.megabytes}


def consumer(on: Stage, scale: Scale) -> dict[str, float]:
    """Consume a few and many, at the same settings."""
    figures = {}
    for count in (1000, scale.of(CONSUMED, 2000)):
        done = consume(on, on.ours, "bench_batches.write_rows", count, "--prefetch", "400", conn_max_age=600)
        figures["few" if count == 1000 else "many"] = done.megabytes
    return {
        "consumer's memory at 1,000 (MB)": figures["few"],
        f"consumer's memory at {CONSUMED:,} (MB)": figures["many"],
    }


SCENARIO = Scenario(
    title=f"growth to {MANY:,} rows",
    unit="messages/s",
    measures={"few": few, "many": many, "consumer": consumer},
    targets=[
        # The time for a message within 20 % either way.
        Target(f"{MANY:,} rows", over=f"{FEW:,} rows", at_least=0.83, at_most=1.25),
        Target(f"relay's memory at {MANY:,} (MB)", at_most=80),
        Target(f"consumer's memory at {CONSUMED:,} (MB)", at_most=80),
    ],
    quick=0.01,
)
