"""The queues of the broker in memory: what waits, what is held unsettled by whom, and where dead letters go.

Behaves as RabbitMQ does: what is given back keeps its place and is marked as redelivered, what is refused or too old
goes to the dead letter routing key or is gone. ``memory.py`` owns the queues and the lock; nothing here locks.
"""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_tags = itertools.count(1)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message in a queue. ``due`` is when it is too old, on the broker's clock; None is never."""

    body: Any
    headers: Mapping[str, str]
    redelivered: bool = False
    due: float | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A message handed out and not settled yet; ``tag`` settles it."""

    tag: int
    queue: str
    message: StoredMessage
    owner: Any = None


class Consumer(Protocol):
    """Who takes messages as they come; ``prefetch`` of 0 has no limit, ``auto`` settles what is handed over."""

    prefetch: int
    auto: bool

    def deliver(self, taken: Taken) -> None:
        """Take a message; must not block."""


@dataclass
class MemoryQueue:
    """One queue, with the arguments it was declared with."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    ready: deque[StoredMessage] = field(default_factory=deque)
    held: dict[int, Taken] = field(default_factory=dict)
    consumers: deque[Consumer] = field(default_factory=deque)

    @property
    def is_passing(self) -> bool:
        """Tell whether the queue goes when its last consumer does."""
        return "true" in (self.arguments.get("auto-delete"), self.arguments.get("exclusive"))

    @property
    def dead_letter_key(self) -> str | None:
        """Return the queue that dead letters go to, None when they are gone."""
        if "x-dead-letter-exchange" not in self.arguments:
            return None
        return self.arguments.get("x-dead-letter-routing-key", self.name)

    def lifetime(self) -> float | None:
        """Return how many seconds a message may wait here, None for any time."""
        milliseconds = self.arguments.get("x-message-ttl")
        return None if milliseconds is None else float(milliseconds) / 1000

    def take(self, owner: Any) -> Taken:
        """Hand out the oldest message; there must be one."""
        taken = Taken(next(_tags), self.name, self.ready.popleft(), owner)
        self.held[taken.tag] = taken
        return taken

    def give_back(self, tags: list[int]) -> None:
        """Put unsettled messages back to their place, marked as handed out before."""
        for tag in sorted(tags, reverse=True):
            message = self.held.pop(tag).message
            self.ready.appendleft(StoredMessage(message.body, message.headers, True, message.due))

    def next_consumer(self) -> Consumer | None:
        """Return whose turn it is among those that may take more, None when nobody may."""
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            in_hand = sum(1 for taken in self.held.values() if taken.owner is consumer)
            if consumer.auto or not consumer.prefetch or in_hand < consumer.prefetch:
                return consumer
        return None

    def expired(self, now: float) -> list[StoredMessage]:
        """Remove and return what has waited too long."""
        old = [message for message in self.ready if message.due is not None and message.due <= now]
        if old:
            self.ready = deque(message for message in self.ready if message.due is None or message.due > now)
        return old
