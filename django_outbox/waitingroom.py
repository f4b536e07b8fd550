"""The deliveries that a subscriber holds until they are due: by time, taken by one thread, filled by another."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django_outbox.link import Delivery

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


@dataclass(order=True, frozen=True)
class Held:
    """A delivery and when it is due, on ``time.monotonic``; ``failed`` is how often it could not be brought back."""

    at: float
    serial: int
    delivery: Delivery = field(compare=False, repr=False)
    failed: int = field(default=0, compare=False)


class WaitingRoom:
    """Holds deliveries of one link; nobody blocks by putting one in."""

    def __init__(self) -> None:
        self._heap: list[Held] = []
        self._serials = itertools.count()
        self._changed = threading.Condition()
        self._nudged = False

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, delivery: Delivery, seconds: float) -> None:
        """Hold a delivery for so many seconds."""
        self._push(Held(time.monotonic() + seconds, next(self._serials), delivery))

    def put_again(self, held: Held) -> None:
        """Hold a delivery that could not be brought back a little longer, each time longer than before."""
        pause = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(held.failed, 10), _LONGEST_PAUSE_SECONDS)
        self._push(Held(time.monotonic() + pause, next(self._serials), held.delivery, held.failed + 1))

    def take_due(self, most: int, wait: float) -> list[Held]:
        """Return what is due, in order, ``most`` at most; wait up to so many seconds for the first.

        One that failed before comes alone: whatever is wrong with it must not hold up the others.
        """
        deadline = time.monotonic() + wait
        with self._changed:
            while not self._is_due() and not self._nudged and (left := self._time_to_wait(deadline)) > 0:
                self._changed.wait(left)
            self._nudged = False
            taken: list[Held] = []
            while len(taken) < most and self._is_due() and not (taken and self._heap[0].failed):
                taken.append(heapq.heappop(self._heap))
                if taken[0].failed:
                    break
            return taken

    def nudge(self) -> None:
        """Let who waits in ``take_due`` look round."""
        with self._changed:
            self._nudged = True
            self._changed.notify_all()

    def _push(self, held: Held) -> None:
        with self._changed:
            heapq.heappush(self._heap, held)
            self._changed.notify_all()

    def _is_due(self) -> bool:
        return bool(self._heap) and self._heap[0].at <= time.monotonic()

    def _time_to_wait(self, deadline: float) -> float:
        first = self._heap[0].at if self._heap else deadline
        return min(first, deadline) - time.monotonic()
