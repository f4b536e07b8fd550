"""One relay works off a backlog: confirmed and persistent, against the peer, which asks for neither.

The peer's rows are all marked in one transaction at its end; its clock stops when the broker has the last message.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.harness.processes import peak_megabytes
from benchmarks.harness.progress import rate
from benchmarks.harness.scenario import Scale, Scenario, Target
from benchmarks.harness.stompclient import send_with_receipts
from benchmarks.harness.wire import body, message_headers, send_confirmed

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

BACKLOG = 50_000
QUEUE = "bench-publish"


@dataclass(frozen=True)
class WorkedOff:
    """How a backlog was worked off: messages a second, and the most memory that a relay held."""

    rate: float
    megabytes: float


def work_off(on: Stage, count: int, *options: str, relays: int = 1, keep: bool = False) -> WorkedOff:
    """Have ``relays`` publishers of ours send ``count`` rows, and wait until every one of them is settled.

    ``options`` are those of ``manage.py publish``; ``keep`` leaves in the table what is there.
    """
    if not keep:
        on.ours.empty()
    on.fill_outbox(on.ours, on.new_queue(QUEUE), count)
    with ExitStack() as stack:
        running = [stack.enter_context(on.ours.running("publish", *options)) for _ in range(relays)]
        connection = stack.enter_context(on.ours.connect())

        def settled() -> int:
            depth = on.depth(QUEUE)
            if depth < count:
                return depth
            unsent = connection.execute("SELECT count(*) FROM published WHERE status = 1").fetchone()
            return count - (unsent[0] if unsent else 0)

        pace = rate("ours publishes", settled, count)
        return WorkedOff(pace, max(peak_megabytes(one.pid) for one in running))


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of ``manage.py publish``."""
    return {"ours": work_off(on, scale.of(BACKLOG, 5000)).rate}


def in_larger_batches(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate where twice as many rows as by default are on the wire together."""
    return {"ours, batches of 1,000": work_off(on, scale.of(BACKLOG, 5000), "--batch-size", "1000").rate}


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the peer's ``manage.py publish``, every message at the broker."""
    count = scale.of(BACKLOG, 500)
    on.peer.empty()
    on.fill_outbox(on.peer, on.new_queue(QUEUE), count)
    with on.peer.running("publish"):
        return {"peer": rate("the peer publishes", lambda: on.depth(QUEUE), count)}


def raw_socket(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the same messages out of a list, on a plain socket."""
    count = scale.of(BACKLOG, 5000)
    destination = on.new_queue(QUEUE)
    messages = [(body(n), message_headers(destination)) for n in range(count)]
    return {"raw socket": count / send_confirmed(on.rabbitmq, destination, messages)}


def stomp_py(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of the same messages out of a list, through stomp.py."""
    count = scale.of(BACKLOG, 5000)
    destination = on.new_queue(QUEUE)
    messages = [(body(n), message_headers(destination)) for n in range(count)]
    return {"stomp.py": count / send_with_receipts(on.rabbitmq, destination, messages)}


SCENARIO = Scenario(
    title=f"publish a backlog of {BACKLOG:,}, one relay",
    unit="messages/s",
    measures={
        "ours": ours,
        "larger batches": in_larger_batches,
        "peer": peer,
        "raw socket": raw_socket,
        "stomp.py": stomp_py,
    },
    targets=[
        Target("ours", over="peer", at_least=7),
        Target("ours, batches of 1,000", over="peer", at_least=7),
        Target("ours", over="raw socket", at_least=0.7),
    ],
)
