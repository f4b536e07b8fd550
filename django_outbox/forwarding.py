"""Sends failed messages on: a copy to the queue in which it waits for a while, back from there, or to the dead letters.

On a connection of its own, opened when first needed and shared by a subscriber's workers: the broker closes a
connection over a message it refuses and stops reading one while its memory is full, and neither must hold up the
acknowledgements. A copy counts as sent when the broker has confirmed it. ``settlement.py`` and ``returning.py`` call
this.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from django_outbox import settings, waiting
from django_outbox.exceptions import BrokerError, ConfigurationError
from django_outbox.transport.base import Outgoing, Patience, SendReport, Unsettled
from django_outbox.transport.frames import unsendable
from django_outbox.transport.publishing import StompTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_outbox.dialects import Dialect
    from django_outbox.subscription import Subscription

    # Where a copy goes, in the words of the broker that is connected: the destination, and what the SEND needs.
    Route = Callable[[Dialect], tuple[str, Mapping[str, str]]]

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
    key: uuid.UUID = field(default_factory=uuid.uuid4)


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

    ``declare`` makes sure that the dead letter queue exists and raises ``BrokerError``. ``on_later`` is called when a
    copy waits on the broker.
    """

    def __init__(
        self,
        subscription: Subscription,
        declare: Callable[[], None],
        transport: ForwardingTransport | None = None,
        on_later: Callable[[], None] = lambda: None,
    ) -> None:
        self._subscription = subscription
        self._declare = declare
        self._on_later = on_later
        self._transport: ForwardingTransport = StompTransport() if transport is None else transport
        self._lock = threading.Lock()
        self._opened_at = self._used_at = 0.0
        self._declared_at: float | None = None

    def to_dead_letters(self, copy: Copy) -> Fate:
        """Put a copy among the dead letters."""
        with self._lock:
            try:
                self._see_to_dead_letter_queue()
            except (BrokerError, ConfigurationError) as error:
                return self._fate_of(SendReport(detail=str(error)))
            return self._fate_of(self._send([(copy, self._dead_letters)]))

    def to_later(self, copy: Copy, seconds: float) -> Fate:
        """Have a copy come back to the queue after so many seconds."""
        with self._lock:
            fate = self._fate_of(self._send([(copy, self._later(seconds))]))
        if fate is Fate.SENT:
            self._on_later()
        return fate

    def bring_back(self, waited: Sequence[tuple[Copy, float]]) -> list[bool]:
        """Put copies into the queue, those with seconds left to where they wait on; return which are confirmed."""
        routes = [(copy, self._later(seconds) if seconds else self._queue) for copy, seconds in waited]
        with self._lock:
            report = self._send(routes, again=False)
        if len(report.confirmed) < len(routes):
            self._complain(report)
        return [copy.key in report.confirmed for copy, _seconds in waited]

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

    def _fate_of(self, report: SendReport) -> Fate:
        if report.confirmed:
            return Fate.SENT
        self._complain(report)
        return Fate.UNKNOWN if report.unsettled is Unsettled.TIMEOUT else Fate.FAILED

    def _complain(self, report: SendReport) -> None:
        problem = next(iter(report.refused.values()), report.detail)
        logger.warning("A copy of a failed message could not be sent on: %s", problem, extra=self._about())

    def _send(self, copies: Sequence[tuple[Copy, Route]], *, again: bool = True) -> SendReport:
        """Send copies and wait for their confirms."""
        try:
            fresh = self._connect()
            report = self._send_once(copies)
            if report.unsettled is Unsettled.CONNECTION_LOST and not fresh and again:
                # It was idle and nobody noticed its end. The copy may have arrived: twice is better than not at all.
                self._connect()
                report = self._send_once(copies)
        except (BrokerError, ConfigurationError) as error:
            report = SendReport(detail=str(error))
        self._used_at = time.monotonic()
        return report

    def _send_once(self, copies: Sequence[tuple[Copy, Route]]) -> SendReport:
        return self._transport.send([self._outgoing(copy, route) for copy, route in copies], self._patience())

    def _connect(self) -> bool:
        """Make sure of a connection that is young enough; returns whether it is new."""
        if self._transport.is_connected() and time.monotonic() - self._opened_at < LONGEST_LIFE_SECONDS:
            return False
        self._transport.connect()
        self._opened_at = time.monotonic()
        return True

    def _outgoing(self, copy: Copy, route: Route) -> Outgoing:
        destination, needed = route(self._transport.dialect)
        headers = {name: value for name, value in copy.headers.items() if unsendable({name: value}) is None}
        return Outgoing(copy.key, destination, copy.body, {**headers, **needed})

    def _dead_letters(self, dialect: Dialect) -> tuple[str, Mapping[str, str]]:
        destination = dialect.dead_letter_destination(self._subscription.queue)
        return destination, dialect.send_headers(destination)

    def _queue(self, dialect: Dialect) -> tuple[str, Mapping[str, str]]:
        destination = dialect.queue(self._source(dialect))
        return destination, dialect.send_headers(destination)

    def _later(self, seconds: float) -> Route:
        def route(dialect: Dialect) -> tuple[str, Mapping[str, str]]:
            destination, delaying = dialect.delayed(self._source(dialect), seconds, self._subscription.queue_headers)
            stamps = waiting.stamps(seconds, datetime.now(UTC)) if dialect.subscribers_bring_back else {}
            return destination, {**delaying, **stamps}

        return route

    def _source(self, dialect: Dialect) -> str:
        return dialect.source(self._subscription.destination, self._subscription.queue)

    def _see_to_dead_letter_queue(self) -> None:
        if self._declared_at is None or time.monotonic() - self._declared_at > _DECLARED_FOR_SECONDS:
            self._declare()
            self._declared_at = time.monotonic()

    def _patience(self) -> Patience:
        return Patience(deadline=time.monotonic() + min(settings.RECEIPT_TIMEOUT, LONGEST_WAIT_SECONDS))

    def _about(self) -> dict[str, Any]:
        return {"queue": self._subscription.queue, "destination": self._subscription.destination}
