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

logger = logging.getLogger(__name__)

WAITING: Final = 5000
"""Events that may wait; more are dropped and counted, since the work they tell of is done all the same."""


class Teller:
    """Posts Events one after another, in the order in which they were told."""

    def __init__(self, api: Api, instance: str, waiting: int = WAITING) -> None:
        self._api = api
        self._instance = instance
        self._waiting: asyncio.Queue[tuple[Identity, Event]] = asyncio.Queue(waiting)

    def tell(self, subject: Identity, event: Event) -> None:
        """Have an Event posted, and log it at once."""
        logger.info("%s: %s: %s", subject.key, event.reason, event.message)
        try:
            self._waiting.put_nowait((subject, event))
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            subject, event = await self._waiting.get()
            try:
                await post(self._api, subject, event, self._instance)
            finally:
                self._waiting.task_done()

    async def flush(self, seconds: float) -> None:
        """Wait until everything told so far is posted; what is not in that time is dropped and counted."""
        try:
            async with asyncio.timeout(seconds):
                await self._waiting.join()
        except TimeoutError:
            left = self._waiting.qsize()
            metrics.EVENTS_DROPPED.inc(left)
            logger.warning("%d Events were not posted in time", left)
