"""From the application's commit to the broker, at 50 messages a second: a writer, a publisher, a listening queue.

The body carries the time at which the row was about to be committed; what reads the queue looks at the clock when the
message comes. Writer, publisher and reader are processes of one machine, so one clock serves all.
"""

from __future__ import annotations

import subprocess
import time
from statistics import quantiles
from typing import TYPE_CHECKING

from benchmarks.harness.scenario import Scale, Scenario, Target
from benchmarks.harness.wire import Reader

if TYPE_CHECKING:
    from benchmarks.harness.products import Product
    from benchmarks.harness.stage import Stage

PER_SECOND = 50
SECONDS = 20
QUEUE = "bench-latency"
_WRITE = """
import json, time
from django_outbox_pattern.models import Published
pad = "x" * 160
Published.objects.create(destination="/queue/bench-latency", body={"n": -1, "at": 0, "pad": pad})
time.sleep(2)
started = time.monotonic()
for n in range(COUNT):
    time.sleep(max(0.0, started + n / PER_SECOND - time.monotonic()))
    Published.objects.create(destination="/queue/bench-latency", body={"n": n, "at": time.time(), "pad": pad})
print(json.dumps({"written": COUNT}))
"""


def measure(on: Stage, product: Product, scale: Scale) -> dict[str, float]:
    """Return the median and the 99th percentile in milliseconds."""
    count = scale.of(PER_SECOND * SECONDS)
    product.empty()
    destination = on.new_queue(QUEUE)
    code = _WRITE.replace("COUNT", str(count)).replace("PER_SECOND", str(PER_SECOND))
    with product.running("publish"), Reader(on.rabbitmq, destination) as reader:
        writer = subprocess.Popen(
            [str(product.interpreter), "-c", f"import django; django.setup()\n{code}"],
            cwd=product.folder,
            env=product.environment(conn_max_age=None),
            stdout=subprocess.DEVNULL,
        )
        delays: list[float] = []
        with writer:
            while len(delays) < count:
                for document in reader.bodies():
                    if document["n"] >= 0:
                        delays.append((time.time() - document["at"]) * 1000)
    cuts = quantiles(delays, n=100)
    return {f"{product.name} p50": cuts[49], f"{product.name} p99": cuts[98]}


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Measure ours."""
    return measure(on, on.ours, scale)


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Measure the peer."""
    return measure(on, on.peer, scale)


SCENARIO = Scenario(
    title=f"commit to broker at {PER_SECOND} messages/s",
    unit="ms",
    measures={"ours": ours, "peer": peer},
    targets=[Target("ours p50", at_most=10), Target("ours p99", at_most=50)],
    quick=0.1,
)
