"""Messages of one lane go on the wire one at a time, all others at once: a decision, without input or output.

A broker may refuse a message and confirm the one behind it. Where the order matters, the next may not be on its way
before the one in front is confirmed. ``publishing.py`` asks what may go.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from django_outbox.transport.base import Outgoing


class Lanes:
    """What of a batch still waits for its turn. A lane whose message is not confirmed never moves on."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self._waiting: dict[str, deque[Outgoing]] = {}
        self._lane_of: dict[UUID, str] = {}
        self.first: list[Outgoing] = []
        for message in messages:
            if message.lane is None:
                self.first.append(message)
                continue
            self._lane_of[message.key] = message.lane
            if message.lane in self._waiting:
                self._waiting[message.lane].append(message)
            else:
                self._waiting[message.lane] = deque()
                self.first.append(message)

    def after(self, confirmed: Iterable[UUID]) -> list[Outgoing]:
        """Return what may go now that these are confirmed."""
        lanes = [self._lane_of[key] for key in confirmed if key in self._lane_of]
        return [self._waiting[lane].popleft() for lane in lanes if self._waiting[lane]]

    def any_waiting(self) -> bool:
        """Tell whether a message waits for the one in front of it."""
        return any(self._waiting.values())
