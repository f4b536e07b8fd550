"""Two relays on one outbox: together they are not slower than one, and none sends what the other sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks import publish
from benchmarks.harness.scenario import Scale, Scenario, Target
from benchmarks.harness.wire import receive_all
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from benchmarks.harness.stage import Stage


def one(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of one relay."""
    return {"one relay": publish.work_off(on, scale.of(publish.BACKLOG, 5000)).rate}


def two(on: Stage, scale: Scale) -> dict[str, float]:
    """Return the rate of two, and how many messages came more than once."""
    count = scale.of(publish.BACKLOG, 5000)
    figures = {"two relays": publish.work_off(on, count, relays=2).rate}
    destination = f"/amq/queue/{publish.QUEUE}"
    numbers = [json.loads(text)["n"] for text in receive_all(on.rabbitmq, destination, on.depth(publish.QUEUE))]
    if missing := set(range(1, count + 1)) - set(numbers):
        raise RigError(f"{len(missing)} messages never came")
    return figures | {"sent twice (rows)": len(numbers) - count}


SCENARIO = Scenario(
    title="two relays side by side",
    unit="messages/s",
    measures={"one": one, "two": two},
    targets=[Target("two relays", over="one relay", at_least=1), Target("sent twice (rows)", at_most=0)],
    quick=0.02,
)
