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


def ours(on: Stage, scale: Scale, *options: str, name: str, workers: int = 1) -> dict[str, float]:
    """Return the rate of ours, as many threads in all whatever the workers."""
    threads = ["--concurrency", str(THREADS // workers)]
    done = consume(on, on.ours, CALLBACK, scale.of(10_000), *threads, *options, conn_max_age=600, workers=workers)
    return done.figures(name)


def alone(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of one of our workers."""
    return ours(on, scale, "--prefetch", "200", name="ours")


def grouped(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of one of our workers where messages share transactions."""
    return ours(on, scale, *GROUP, "--prefetch", "800", name="ours, grouped")


def alone_by_two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two of our workers."""
    return ours(on, scale, "--prefetch", "100", name="ours, two workers", workers=WORKERS)


def grouped_by_two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two of our workers where messages share transactions."""
    return ours(on, scale, *GROUP, "--prefetch", "400", name="ours, grouped, two workers", workers=WORKERS)


def peer(on: Stage, scale: Scale, name: str = "peer", workers: int = 1) -> dict[str, float]:
    """Return the rate of the peer."""
    return consume(on, on.peer, CALLBACK, scale.of(4000), conn_max_age=600, workers=workers, **PEER).figures(name)


def peer_by_two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two of the peer's workers."""
    return peer(on, scale, "peer, two workers", WORKERS)


def bare(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the same statements, out of as many threads, without any message."""
    on.ours.empty()
    return {"bare psycopg": transactions_per_second(on.ours, scale.of(10_000), THREADS)}


SCENARIO = Scenario(
    title="consume, a callback that writes a row, best settings",
    unit="messages/s",
    measures={
        "ours": alone,
        "grouped": grouped,
        "peer": peer,
        "ours by two": alone_by_two,
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
