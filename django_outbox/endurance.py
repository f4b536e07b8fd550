"""How a publisher outlasts a database that is away, and until when it may: what the broker did is not forgotten.

``relay.py`` and ``bookkeeping.py`` write through it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from django.db import Error as DatabaseTrouble
from django.db import connections

from django_outbox.exceptions import OutboxError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.health import Health
    from django_outbox.lifecycle import StopSignal

    Answer = TypeVar("Answer")

logger = logging.getLogger("django_outbox_pattern")

_DATABASE_BACKOFF_LIMIT = 10.0
# A stopped loop may come to rest again and again until its deadline: it must not spin.
_LEAST_REST_SECONDS = 0.2


class GaveUp(OutboxError):  # noqa: N818 - it ends the publisher, and is no fault of anybody's
    """The time to stop is over and work is still in flight."""


class Endurance:
    """Waits for the database ``using``; once asked to stop, for at most ``shutdown_timeout`` seconds."""

    def __init__(self, using: str, stop: StopSignal, health: Health, shutdown_timeout: float) -> None:
        self._using = using
        self._stop = stop
        self._health = health
        self._shutdown_timeout = shutdown_timeout
        self._stop_by: float | None = None

    def deadline(self) -> float | None:
        """Return when stopping must be done, on ``time.monotonic``; None while nobody asked for it."""
        if self._stop_by is None and self._stop.is_set():
            self._stop_by = time.monotonic() + self._shutdown_timeout
        return self._stop_by

    def persist(self, write: Callable[[], Answer]) -> Answer:
        """Write what the broker already did; a database that is away is waited for: to forget is to send twice.

        Raises ``GaveUp`` when it is still away at the deadline.
        """
        failures = 0
        while True:
            try:
                return write()
            except DatabaseTrouble as error:
                failures += 1
                self.ride_out(error, failures)
                deadline = self.deadline()
                if deadline is not None and time.monotonic() >= deadline:
                    raise GaveUp("the database was away until the time to stop was over") from error

    def ride_out(self, error: Exception, failures: int = 1) -> None:
        """Drop the database connection and rest a little; the next statement opens a new one."""
        seconds = min(2.0 ** min(failures - 1, 10), _DATABASE_BACKOFF_LIMIT)
        self._health.set_ready("database", ok=False, reason=f"{type(error).__name__}: {error}".strip())
        logger.warning("The database does not work, trying again in %.0f s: %s", seconds, error)
        connections[self._using].close()
        self.rest(seconds)

    def rest(self, seconds: float) -> None:
        """Wait without looking dead; return at once when asked to stop, except that a little is always waited."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._health.beat()
            if self._stop.wait(min(left, 1.0)):
                time.sleep(min(left, _LEAST_REST_SECONDS))
                return
