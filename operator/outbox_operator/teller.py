"""Posts Events beside the work: a pass hands them over and goes on. `reconcile` tells, `main` runs it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from outbox_operator import metrics
from outbox_operator.events import post

if TYPE_CHECKING:
    from outbox_operator.api.resource import Identity
    from outbox_operator.events import Event
    from outbox_operator.kube import Api

    _Line = asyncio.Queue[tuple[Identity, Event]]

logger = logging.getLogger(__name__)

LINES: Final = 4
"""Events posted at the same time."""
WAITING: Final = 5000
"""Events that may wait; more are dropped and counted, since the work they tell of is done all the same."""


class Teller:
    """Posts Events, those of one resource in the order in which they were told."""

    def __init__(self, api: Api, instance: str, waiting: int = WAITING) -> None:
        self._api = api
        self._instance = instance
        self._lines: list[_Line] = [asyncio.Queue(waiting // LINES) for _ in range(LINES)]

    def tell(self, subject: Identity, event: Event) -> None:
        """Have an Event posted, and log it at once."""
        logger.info("%s: %s: %s", subject.key, event.reason, event.message)
        try:
            self._lines[hash(subject.key) % LINES].put_nowait((subject, event))
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Post until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(self._post(line))

    async def flush(self, seconds: float) -> None:
        """Wait until everything told so far is posted; what is not in that time is dropped and counted."""
        try:
            async with asyncio.timeout(seconds):
                for line in self._lines:
                    await line.join()
        except TimeoutError:
            left = sum(line.qsize() for line in self._lines)
            metrics.EVENTS_DROPPED.inc(left)
            logger.warning("%d Events were not posted in time", left)

    async def _post(self, line: _Line) -> None:
        while True:
            subject, event = await line.get()
            try:
                await post(self._api, subject, event, self._instance)
            finally:
                line.task_done()
