"""A queue as the tests of the publisher see it."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.rig.hostservices import RabbitMQ

MORE_THAN_ANY_TEST_SENDS = 50_000


@dataclass
class Queue:
    """A durable queue, and the destination that reaches it."""

    broker: RabbitMQ
    name: str

    @property
    def destination(self) -> str:
        """Where to send to; the prefix makes the broker take the queue as it is."""
        return f"/amq/queue/{self.name}"

    def depth(self) -> int:
        """How many messages wait; 0 when there is no queue."""
        return self.broker.queue_depth(self.name) or 0

    def wait_for_depth(self, depth: int, evidence: Callable[[], str] | None = None) -> None:
        """Wait until so many messages wait in it."""
        state = lambda: f"there are {self.depth()}\n{evidence() if evidence else ''}"  # noqa: E731
        wait_until(f"{depth} messages in {self.name}", lambda: self.depth() == depth, seconds=30, state=state)

    def take(self) -> list[dict[str, Any]]:
        """Take every message out of the queue."""
        taken: list[dict[str, Any]] = []
        while batch := self.broker.get_messages(self.name, MORE_THAN_ANY_TEST_SENDS, requeue=False):
            taken += batch
        return taken

    def numbers(self) -> Counter[int]:
        """Take every message and return how often each number came."""
        return Counter(json.loads(message["payload"])["n"] for message in self.take())
