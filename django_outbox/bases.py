"""What a producer and a consumer have in common: one connection, credentials for it, and patience.

The base of ``producers.Producer`` and ``consumers.Consumer``, kept for code that builds on their names. The workers'
own loops use ``transport.stomp.open_connection``, which opens a new connection each time.
"""

from __future__ import annotations

import logging
import random
import time
from typing import Any

from stomp.exception import StompException

from django_outbox import settings

WORKER_BACKOFF_LIMIT_SECONDS = 30.0

_logger = logging.getLogger("django_outbox_pattern")


def backoff_seconds(attempts: int) -> float:
    """Return how long to wait after so many failed attempts to connect: doubling, jittered, bounded by the setting."""
    # 2**30 seconds are beyond any bound; without a cap the power itself grows without end.
    return float(min(2 ** min(attempts, 30) + random.uniform(0, 1), settings.DEFAULT_MAXIMUM_BACKOFF))  # noqa: S311


def worker_backoff_seconds(attempts: int) -> float:
    """Return the same for a worker, which must be back soon after the broker is, however long that was away."""
    return min(backoff_seconds(attempts), WORKER_BACKOFF_LIMIT_SECONDS)


class Base:
    """A connection with the credentials to open it. ``attempts`` counts failed attempts since the last success."""

    def __init__(self, connection: Any, username: str | None, passcode: str | None) -> None:
        self._credentials = {"username": username, "passcode": passcode}
        self.attempts = 0
        self.connection = connection

    def connect(self) -> None:
        """Connect, however long it takes, with growing waits in between."""
        while not self.is_connected():
            try:
                self.connection.connect(**self._credentials, wait=True)
            except (StompException, OSError):
                self._wait()
            else:
                self.attempts = 0

    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as is known."""
        return bool(self.connection.is_connected())

    def get_listener(self, name: str) -> Any:
        """Return the listener of that name, None when there is none."""
        return self.connection.get_listener(name)

    def set_listener(self, name: str, listener: Any) -> None:
        """Let a listener hear the connection's frames."""
        self.connection.set_listener(name, listener)

    def remove_listener(self, name: str) -> None:
        """Take a listener off."""
        self.connection.remove_listener(name)

    def _disconnect(self) -> None:
        self.connection.disconnect()

    def _exponential_backoff(self) -> float:
        return backoff_seconds(self.attempts)

    def _wait(self) -> None:
        self.attempts += 1
        seconds = self._exponential_backoff()
        _logger.debug("%s waiting for %.1f seconds before attempting reconnect", self.__class__.__name__, seconds)
        time.sleep(seconds)
