"""The deliveries between stomp.py's thread and the threads that run callbacks: bounded, and empty once closed."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.link import Delivery

# After this many seconds without work a thread counts as idle.
_IDLE_SECONDS = 1.0


class DeliveryBuffer:
    """A queue that hands out nothing after ``close``: what was not begun by then never is."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._deliveries: deque[Delivery] = deque()
        self._closed = False
        self._changed = threading.Condition()
        # How many deliveries each waiting thread needs, and how many threads wait for room: to wake one for nothing
        # costs more than to hand a message over.
        self._needs: list[int] = []
        self._without_room = 0

    def __len__(self) -> int:
        return len(self._deliveries)

    def put(self, delivery: Delivery) -> None:
        """Add a delivery, waiting while the buffer is full; drop it when the buffer is closed."""
        with self._changed:
            if len(self._deliveries) >= self._size:
                self._without_room += 1
                self._changed.wait_for(lambda: self._closed or len(self._deliveries) < self._size)
                self._without_room -= 1
            if not self._closed:
                self._deliveries.append(delivery)
                if self._needs and len(self._deliveries) >= min(self._needs):
                    self._changed.notify_all()

    def take(self, on_idle: Callable[[], None], idle_seconds: float = _IDLE_SECONDS) -> Delivery | None:
        """Return the next delivery, None once closed. ``on_idle`` is called when none came for a while, once."""
        with self._changed:
            if self._wait_for(1, idle_seconds):
                return self._next()
        on_idle()
        with self._changed:
            self._wait_for(1)
            return self._next()

    def take_many(self, size: int, wait: float, on_idle: Callable[[], None]) -> list[Delivery]:
        """Return the next deliveries, ``size`` at most and one at least; none once closed.

        The first of them waits up to ``wait`` seconds until there are so many.
        """
        first = self.take(on_idle)
        if first is None:
            return []
        batch = [first]
        with self._changed:
            if size > 1:
                self._wait_for(size - 1, wait)
            while len(batch) < size and (delivery := self._next()) is not None:
                batch.append(delivery)
            return [] if self._closed else batch

    def close(self) -> None:
        """Drop what is waiting and let every thread go."""
        with self._changed:
            self._closed = True
            self._deliveries.clear()
            self._changed.notify_all()

    def _wait_for(self, count: int, seconds: float | None = None) -> bool:
        """Wait until there are so many deliveries or the buffer is closed; return whether either came true."""
        if self._closed or len(self._deliveries) >= count:
            return True
        self._needs.append(count)
        try:
            return self._changed.wait_for(lambda: self._closed or len(self._deliveries) >= count, seconds)
        finally:
            self._needs.remove(count)

    def _next(self) -> Delivery | None:
        if self._closed or not self._deliveries:
            return None
        delivery = self._deliveries.popleft()
        if self._without_room:
            self._changed.notify_all()
        return delivery
