"""A callback that writes one row, at the best settings that each documents, and the bare driver doing that work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness.bare import transactions_per_second
from benchmarks.harness.consuming import consume
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

CALLBACK = "bench_callbacks.write_row"
THREADS = 4
# prefetch-count is a header of the subscription: the whole dict is given, as its documentation says.
PEER = {"DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true", "auto-delete": "false", "prefetch-count": "100"}}


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours."""
    options = ["--concurrency", str(THREADS), "--prefetch", "200"]
    return consume(on, on.ours, CALLBACK, scale.of(10_000), *options, conn_max_age=600).figures("ours")


def grouped(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours where messages share transactions."""
    options = ["--group", "100", "--concurrency", str(THREADS), "--prefetch", "800"]
    return consume(on, on.ours, CALLBACK, scale.of(10_000), *options, conn_max_age=600).figures("ours, grouped")


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the peer."""
    return consume(on, on.peer, CALLBACK, scale.of(4000), conn_max_age=600, **PEER).figures("peer")


def bare(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the same statements, out of as many threads, without any message."""
    on.ours.empty()
    return {"bare psycopg": transactions_per_second(on.ours, scale.of(10_000), THREADS)}


SCENARIO = Scenario(
    title="consume, a callback that writes a row, best settings",
    unit="messages/s",
    measures={"ours": ours, "grouped": grouped, "peer": peer, "bare": bare},
    targets=[
        Target("ours", over="bare psycopg", at_least=0.9),
        Target("ours, grouped", over="peer", at_least=4),
        Target("ours, grouped", over="bare psycopg", at_least=1),
    ],
    quick=0.05,
)
