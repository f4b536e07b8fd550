"""The queue of resources to look at: each key once, one worker a key, growing delays after failures.

Triggers (watch events, the periodic look, requeues) only add keys; what is to be done is found out when the key is
handled, so any number of triggers costs one reconciliation.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from outbox_operator import metrics
from outbox_operator.api.resource import Key
from outbox_operator.errors import UnreachableError

logger = logging.getLogger(__name__)

Handler = Callable[[Key], Awaitable[float | None]]
"""Handles a key; returns the seconds after which to look again, or None."""

BACKOFF_BASE_SECONDS: Final = 0.5
BACKOFF_MAX_SECONDS: Final = 60.0
PATIENCE_SECONDS: Final = 15.0
"""Seconds for which keys that come first may hold up the others; then these have a share of the turns."""
_SHARE: Final = 4
"""Every which turn that is."""


def backoff_seconds(failures: int, jitter: Callable[[], float] = random.random) -> float:
    """Return the delay after so many failures in a row: doubling, bounded, spread over half to all of it."""
    ceiling = min(BACKOFF_BASE_SECONDS * 2.0 ** min(failures - 1, 20), BACKOFF_MAX_SECONDS)
    return ceiling * (0.5 + jitter() / 2)


class Lanes:
    """Keys in the order in which they are taken: those that come first, then the others, in their order each.

    None waits for ever: where others have waited for long, every fourth turn is theirs.
    """

    def __init__(self, comes_first: Callable[[Key], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._comes_first = comes_first
        self._clock = clock
        self._first: deque[Key] = deque()
        self._others: deque[tuple[float, Key]] = deque()
        """With the moment in which each was put here."""
        self._number = asyncio.Semaphore(0)
        self._turn = 0
        self._none_first = asyncio.Event()
        self._none_first.set()

    def put(self, key: Key) -> None:
        """Add a key."""
        if self._comes_first(key):
            self._first.append(key)
            self._none_first.clear()
        else:
            self._others.append((self._clock(), key))
        self._number.release()

    async def get(self) -> Key:
        """Take the next key; waits until there is one."""
        await self._number.acquire()
        self._turn += 1
        if self._is_other_next():
            return self._others.popleft()[1]
        key = self._first.popleft()
        if not self._first:
            self._none_first.set()
        return key

    async def first_taken(self, seconds: float) -> None:
        """Wait until none is left of those that come first, so many seconds at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_first.wait()

    def _is_other_next(self) -> bool:
        if not self._first or not self._others:
            return not self._first
        return self._turn % _SHARE == 0 and self._clock() - self._others[0][0] > PATIENCE_SECONDS


class WorkQueue:
    """Keys to handle. Not thread-safe: everything happens on one event loop."""

    def __init__(self, handle: Handler, comes_first: Callable[[Key], bool] = lambda _: False) -> None:
        self._handle = handle
        self._ready = Lanes(comes_first)
        self._waiting: set[Key] = set()
        """Keys in `_ready`."""
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        """Keys that were added while they were being handled."""
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._closed = False
        self._resting = asyncio.Event()
        self._resting.set()

    async def first_taken(self, seconds: float) -> None:
        """Wait until every key that comes first is being handled, so many seconds at most."""
        await self._ready.first_taken(seconds)

    def close(self) -> None:
        """Take and hand out nothing more; what is being handled goes on."""
        self._closed = True

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing is being handled; False when that takes longer."""
        try:
            async with asyncio.timeout(seconds):
                await self._resting.wait()
        except TimeoutError:
            return False
        return True

    def add(self, key: Key) -> None:
        """Have a key handled as soon as possible."""
        self._cancel_timer(key)
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            metrics.QUEUE_DEPTH.labels(key.kind.name).inc()
            self._ready.put(key)

    def add_after(self, key: Key, seconds: float) -> None:
        """Have a key handled after a delay; an earlier timer of the same key stays."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= due:
            return
        self._cancel_timer(key)
        self._timers[key] = loop.call_at(due, self.add, key)

    async def work(self) -> None:
        """Handle keys until cancelled; run several of these side by side."""
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            metrics.QUEUE_DEPTH.labels(key.kind.name).dec()
            if self._closed:
                continue
            self._busy.add(key)
            self._resting.clear()
            try:
                await self._handle_once(key)
            finally:
                self._busy.discard(key)
                if not self._busy:
                    self._resting.set()
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    async def _handle_once(self, key: Key) -> None:
        try:
            after = await self._handle(key)
        except Exception as error:  # noqa: BLE001 - whatever fails, this key is tried again and the others go on
            self._retry(key, error)
            return
        self._failures.pop(key, None)
        if after is not None:
            self.add_after(key, after)

    def _retry(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        delay = backoff_seconds(failures)
        if isinstance(error, UnreachableError) and error.retry_after is not None:
            delay = max(delay, error.retry_after)
        metrics.QUEUE_RETRIES.labels(key.kind.name).inc()
        logger.warning("%s: %s; trying again in %.1f s", key, error or type(error).__name__, delay)
        logger.debug("details", exc_info=error)
        self.add_after(key, delay)

    def _cancel_timer(self, key: Key) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
