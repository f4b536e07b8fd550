"""The ceiling of every consumer: messages received and acknowledged on a plain socket, nothing done with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.harness.scenario import Scale, Scenario
from benchmarks.harness.wire import receive_all

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage

QUEUE = "bench-receive"


def raw_socket(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of receiving with an ACK for each."""
    count = scale.of(30_000, 1000)
    on.new_queue(QUEUE)
    on.fill_queue(QUEUE, count)
    started = time.monotonic()
    receive_all(on.rabbitmq, f"/amq/queue/{QUEUE}", count)
    return {"raw socket": count / (time.monotonic() - started)}


SCENARIO = Scenario(
    title="ceiling: receive and acknowledge", unit="messages/s", measures={"raw socket": raw_socket}, quick=0.05
)
