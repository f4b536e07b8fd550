"""A callback that writes one row, at the best settings that each documents, and the bare driver doing that work.

Two workers are two processes on one queue, as with two replicas; the bare driver has as many threads as they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.harness.bare import transactions_per_second
from benchmarks.harness.consuming import consume
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

CALLBACK = "bench_callbacks.write_row"
THREADS = 4
WORKERS = 2
GROUP = ["--group", "100"]
# prefetch-count is a header of the subscription: the whole dict is given, as its documentation says.
PEER = {"DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true", "auto-delete": "false", "prefetch-count": "100"}}


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours."""
    options = ["--concurrency", str(THREADS), "--prefetch", "200"]
    return consume(on, on.ours, CALLBACK, scale.of(10_000), *options, conn_max_age=600).figures("ours")


def grouped(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ours where messages share transactions."""
    options = [*GROUP, "--concurrency", str(THREADS), "--prefetch", "800"]
    return consume(on, on.ours, CALLBACK, scale.of(10_000), *options, conn_max_age=600).figures("ours, grouped")


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the peer."""
    return consume(on, on.peer, CALLBACK, scale.of(4000), conn_max_age=600, **PEER).figures("peer")


def ours_by_two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two of our workers."""
    options = ["--concurrency", str(THREADS // WORKERS), "--prefetch", "100"]
    done = consume(on, on.ours, CALLBACK, scale.of(10_000), *options, conn_max_age=600, workers=WORKERS)
    return done.figures("ours, two workers")


def grouped_by_two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two of our workers where messages share transactions."""
    options = [*GROUP, "--concurrency", str(THREADS // WORKERS), "--prefetch", "400"]
    done = consume(on, on.ours, CALLBACK, scale.of(10_000), *options, conn_max_age=600, workers=WORKERS)
    return done.figures("ours, grouped, two workers")


def peer_by_two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two of the peer's workers."""
    done = consume(on, on.peer, CALLBACK, scale.of(4000), conn_max_age=600, workers=WORKERS, **PEER)
    return done.figures("peer, two workers")


def bare(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the same statements, out of as many threads, without any message."""
    on.ours.empty()
    return {"bare psycopg": transactions_per_second(on.ours, scale.of(10_000), THREADS)}


SCENARIO = Scenario(
    title="consume, a callback that writes a row, best settings",
    unit="messages/s",
    measures={
        "ours": ours,
        "grouped": grouped,
        "peer": peer,
        "ours by two": ours_by_two,
        "grouped by two": grouped_by_two,
        "peer by two": peer_by_two,
        "bare": bare,
    },
    targets=[
        Target("ours", over="bare psycopg", at_least=0.9),
        Target("ours, two workers", over="bare psycopg", at_least=0.9),
        Target("ours, grouped", over="peer", at_least=4),
        Target("ours, grouped, two workers", over="peer, two workers", at_least=4),
        Target("ours, grouped", over="bare psycopg", at_least=1),
        Target("ours, grouped, two workers", over="bare psycopg", at_least=1),
    ],
    quick=0.05,
)
