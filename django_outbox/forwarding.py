"""Sends failed messages on: a copy to the queue that holds it back for a while, or to the dead letters.

On a connection of its own, opened when first needed and shared by a subscriber's workers: the broker closes a
connection over a message it refuses and stops reading one while its memory is full, and neither must hold up the
acknowledgements. A copy counts as sent when the broker has confirmed it. ``settlement.py`` calls this.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from django_outbox import settings
from django_outbox.exceptions import BrokerError, ConfigurationError
from django_outbox.transport.base import Outgoing, Patience, SendReport, Unsettled
from django_outbox.transport.frames import unsendable
from django_outbox.transport.publishing import StompTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_outbox.dialects import Dialect
    from django_outbox.subscription import Subscription

logger = logging.getLogger("django_outbox_pattern.consumer")

# A worker waits for the confirm; beyond this the message is refused in the broker's own way, which needs none.
LONGEST_WAIT_SECONDS = 10.0
# RabbitMQ declares the queue that holds messages back once a connection. Should somebody delete it, messages are lost
# for no longer than this.
LONGEST_LIFE_SECONDS = 60.0
IDLE_SECONDS = 30.0
# A dead letter for a queue that somebody deleted would be dropped: look again whether it is there, but not each time.
_DECLARED_FOR_SECONDS = 30.0


class Fate(Enum):
    """What became of a copy: the broker has it, has it not, or did not answer in time and may have it."""

    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Copy:
    """A failed message with its story, ready to be sent on."""

    body: str | bytes
    headers: Mapping[str, str]


class ForwardingTransport(Protocol):
    """What is needed of a connection; ``transport.publishing.StompTransport`` is one."""

    @property
    def dialect(self) -> Dialect:
        """How the broker connected to wants things said."""

    def is_connected(self) -> bool:
        """Tell whether the connection stands."""

    def connect(self) -> None:
        """Open it. Raises ``BrokerError``."""

    def send(self, messages: Sequence[Outgoing], patience: Patience) -> SendReport:
        """Send and wait for the receipts."""

    def close(self) -> None:
        """Close it; never raises."""


class Forwarder:
    """Sends copies of a subscription's failed messages; safe to use from any thread.

    ``declare`` makes sure that the dead letter queue exists and raises ``BrokerError``.
    """

    def __init__(
        self,
        subscription: Subscription,
        declare: Callable[[], None],
        transport: ForwardingTransport | None = None,
    ) -> None:
        self._subscription = subscription
        self._declare = declare
        self._transport: ForwardingTransport = StompTransport() if transport is None else transport
        self._lock = threading.Lock()
        self._opened_at = self._used_at = 0.0
        self._declared_at: float | None = None

    def to_dead_letters(self, copy: Copy) -> Fate:
        """Put a copy among the dead letters."""
        return self._forward(copy, None)

    def to_later(self, copy: Copy, seconds: float) -> Fate:
        """Have a copy come back to the queue after so many seconds."""
        return self._forward(copy, seconds)

    def tend(self) -> None:
        """Close a connection that nobody has used for a while; called now and then."""
        if time.monotonic() - self._used_at < IDLE_SECONDS or not self._lock.acquire(blocking=False):
            return
        try:
            self._transport.close()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the connection for good."""
        with self._lock:
            self._transport.close()

    def _forward(self, copy: Copy, seconds: float | None) -> Fate:
        with self._lock:
            try:
                if seconds is None:
                    self._see_to_dead_letter_queue()
                report = self._send(copy, seconds)
            except (BrokerError, ConfigurationError) as error:
                report = SendReport(detail=str(error))
            self._used_at = time.monotonic()
        if report.confirmed:
            return Fate.SENT
        problem = next(iter(report.refused.values()), report.detail)
        logger.warning("A copy of a failed message could not be sent on: %s", problem, extra=self._about())
        return Fate.UNKNOWN if report.unsettled is Unsettled.TIMEOUT else Fate.FAILED

    def _send(self, copy: Copy, seconds: float | None) -> SendReport:
        fresh = self._connect()
        report = self._transport.send([self._outgoing(copy, seconds)], self._patience())
        if report.unsettled is Unsettled.CONNECTION_LOST and not fresh:
            # It was idle and nobody noticed its end. The first copy may have arrived: twice is better than not at all.
            self._connect()
            report = self._transport.send([self._outgoing(copy, seconds)], self._patience())
        return report

    def _connect(self) -> bool:
        """Make sure of a connection that is young enough; returns whether it is new."""
        if self._transport.is_connected() and time.monotonic() - self._opened_at < LONGEST_LIFE_SECONDS:
            return False
        self._transport.connect()
        self._opened_at = time.monotonic()
        return True

    def _outgoing(self, copy: Copy, seconds: float | None) -> Outgoing:
        dialect, subscription = self._transport.dialect, self._subscription
        headers = {name: value for name, value in copy.headers.items() if unsendable({name: value}) is None}
        if seconds is None:
            destination = dialect.dead_letter_destination(subscription.queue)
            headers |= dialect.send_headers(destination)
        else:
            source = dialect.source(subscription.destination, subscription.queue)
            destination, delaying = dialect.delayed(source, seconds, subscription.queue_headers)
            headers |= delaying
        return Outgoing(uuid.uuid4(), destination, copy.body, headers)

    def _see_to_dead_letter_queue(self) -> None:
        if self._declared_at is None or time.monotonic() - self._declared_at > _DECLARED_FOR_SECONDS:
            self._declare()
            self._declared_at = time.monotonic()

    def _patience(self) -> Patience:
        return Patience(deadline=time.monotonic() + min(settings.RECEIPT_TIMEOUT, LONGEST_WAIT_SECONDS))

    def _about(self) -> dict[str, Any]:
        return {"queue": self._subscription.queue, "destination": self._subscription.destination}
