"""What a publisher knows of a broker that has stopped reading: since when, and what may be sent to find out.

A broker that runs out of memory or disk leaves the connection open and reads nothing more from it. STOMP has no word
for that. The transport finds out by a question that is not answered; after that one message is sent at a time. RabbitMQ
takes one on each new connection and only then notices, so the question is asked again behind it, and nothing more is
sent before it is answered. Called by ``relay.py``, which does the sending and the waiting.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from django_outbox import metrics

if TYPE_CHECKING:
    from django_outbox.health import Health

logger = logging.getLogger("django_outbox_pattern")

WORDS = "connected, but the broker reads nothing that is published: its memory or disk may have run out"


class Blocking:
    """The state of one publisher's broker; reports changes to log, metric and readiness."""

    def __init__(self, health: Health) -> None:
        self.is_on = False
        self.must_ask = False
        self._health = health
        self._host = ""
        self._since = 0.0

    def begin(self, host: str) -> None:
        """Note that the broker stopped reading; the connection is cut by now."""
        self.must_ask = False
        self._health.set_ready("broker", ok=False, reason=WORDS)
        if self.is_on:
            return
        self.is_on, self._host, self._since = True, host, time.monotonic()
        metrics.BROKER_BLOCKED.labels(host=host).set(1)
        logger.warning(
            "The broker at %s reads nothing that is published, as it does when memory or disk run out."
            " Waiting until it does; no message counts as failed.",
            host,
            extra={"broker": host},
        )

    def end(self) -> None:
        """Note that the broker reads."""
        metrics.BROKER_BLOCKED.labels(host=self._host).set(0)
        self._health.set_ready("broker", ok=True, reason="connected, and reads again")
        seconds = time.monotonic() - self._since
        logger.info("The broker at %s reads again after %.0f s", self._host, seconds, extra={"broker": self._host})
        self.is_on = self.must_ask = False

    def on_connected(self, host: str) -> None:
        """Note a new connection: what is asked of the old one is never answered."""
        self.must_ask = False
        if self.is_on:
            metrics.BROKER_BLOCKED.labels(host=self._host).set(0)
            metrics.BROKER_BLOCKED.labels(host=host).set(1)
            self._host = host
            self._health.set_ready("broker", ok=False, reason=WORDS)
        else:
            metrics.BROKER_BLOCKED.labels(host=host).set(0)

    def on_rest(self) -> None:
        """Note that a message went through, or that there is none: only a question can tell now."""
        self.must_ask = self.is_on
