"""What a relay and a consumer cost that have nothing to do: their share of one processor, threads and all."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from benchmarks.harness.processes import processor_seconds
from benchmarks.harness.scenario import Scale, Scenario, Target

if TYPE_CHECKING:
    from benchmarks.harness.products import Product
    from benchmarks.harness.stage import Stage

SETTLE_SECONDS = 12
WATCH_SECONDS = 30
CALLBACK = "bench_callbacks.save"


def measure(on: Stage, product: Product, scale: Scale) -> dict[str, float]:
    """Return the share of a processor, in percent, of both workers while nothing comes."""
    product.empty()
    destination = "/topic/bench-idle"
    queue = on.declare_by(product, CALLBACK, destination)
    with ExitStack() as stack:
        relay = stack.enter_context(product.running("publish"))
        consumer = stack.enter_context(product.running("subscribe", CALLBACK, destination, queue))
        time.sleep(SETTLE_SECONDS)
        seconds = WATCH_SECONDS * max(scale.factor, 0.1)
        before = [processor_seconds(one.pid) for one in (relay, consumer)]
        time.sleep(seconds)
        after = [processor_seconds(one.pid) for one in (relay, consumer)]
    shares = [100 * (late - early) / seconds for early, late in zip(before, after, strict=True)]
    return {f"{product.name} relay": shares[0], f"{product.name} consumer": shares[1]}


def ours(on: Stage, scale: Scale) -> dict[str, float]:
    """Measure ours."""
    return measure(on, on.ours, scale)


def peer(on: Stage, scale: Scale) -> dict[str, float]:
    """Measure the peer."""
    return measure(on, on.peer, scale)


SCENARIO = Scenario(
    title="idle workers",
    unit="% of a core",
    measures={"ours": ours, "peer": peer},
    targets=[Target("ours relay", at_most=0.5), Target("ours consumer", at_most=0.5)],
    quick=0.1,
)
