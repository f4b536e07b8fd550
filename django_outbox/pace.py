"""How long a publisher rests between two looks into an outbox that has nothing: a decision, without input or output.

Where something was sent a moment ago, more is likely to come: the first looks follow each other quickly, then ever more
slowly, down to the setting's pace. The quick ones also see what was written while writers were keeping quiet after a
wake-up (``wakeup.py``). ``relay.py`` asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

QUICKEST_SECONDS = 0.005


@dataclass
class Pace:
    """``slowest`` is the rest, in seconds, when nothing happens for a while."""

    slowest: float
    _next: float = field(default=QUICKEST_SECONDS, init=False)

    def hurry(self) -> None:
        """Begin anew with quick looks: something was found, or is said to be there."""
        self._next = QUICKEST_SECONDS

    def rest(self) -> float:
        """Return how long to rest now, longer each time."""
        seconds = min(self._next, self.slowest)
        self._next = min(self._next * 2, self.slowest)
        return seconds
