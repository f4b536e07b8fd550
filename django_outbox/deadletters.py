"""The dead letters of a queue, over STOMP: looked at, replayed, removed. For ``manage.py outbox dlq``.

STOMP cannot browse. So the letters are received and not acknowledged: when the connection ends, however it ends, the
broker puts each back in its place. Each is settled by itself (client-individual), and a letter that is replayed is
acknowledged only when the broker has confirmed its copy. So none is lost; when a process dies between the two both
exist, and consumers know the second by its id.
"""

from __future__ import annotations

import queue
import time
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_outbox import settings, story
from django_outbox.declaring import queue_is_there
from django_outbox.dialects import DEAD_LETTER_PREFIX, RETRY_PREFIX
from django_outbox.exceptions import BrokerUnavailable, ConfigurationError, SubscriptionRefused
from django_outbox.link import Link
from django_outbox.transport.base import Outgoing, Patience
from django_outbox.transport.frames import unsendable
from django_outbox.transport.publishing import StompTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from django_outbox.dialects import Dialect
    from django_outbox.link import Delivery

# Sent and confirmed at a time; after an interruption at most so many letters exist twice.
BATCH = 50
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter. What django-outbox-pattern left behind has no story: ``error`` and ``attempts`` are None then.

    ``message_id`` is the id that consumers know it by, None when it has none. ``failed_at`` is when it failed, or when
    it was sent where that is not told. ``destination`` is where it first came from, ``queue`` what its worker called
    its queue, ``died_in`` the queue that RabbitMQ first took it out of. ``returned`` is how often it went back.
    ``body`` is None unless it was asked for.
    """

    message_id: str | None
    failed_at: datetime | None
    error: str | None
    attempts: int | None
    destination: str
    queue: str
    died_in: str | None
    returned: int
    headers: Mapping[str, Any] = field(repr=False)
    delivery: Delivery = field(repr=False)
    body: Any = field(repr=False, default=None)

    @classmethod
    def of(cls, delivery: Delivery, worker_queue: str, *, keep_body: bool = True) -> DeadLetter:
        """Read a delivery."""
        headers = delivery.headers
        body = delivery.body if delivery.raw is None else delivery.raw
        return cls(
            message_id=headers.get("dop-msg-id") or headers.get("cap-msg-id"),
            failed_at=_moment(headers.get(story.FAILED_AT)) or _moment(headers.get("dop-msg-sent-time")),
            error=headers.get(story.ERROR),
            attempts=story.attempts_of(headers) or None,
            destination=str(headers.get(story.DESTINATION) or headers.get("dop-msg-destination") or ""),
            queue=str(headers.get(story.QUEUE) or worker_queue),
            died_in=headers.get("x-first-death-queue") or None,
            returned=_number(headers.get("x-delivery-count")),
            headers=headers,
            delivery=replace(delivery, body=None, raw=None),
            body=body if keep_body else None,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which letters are meant: all that fit every criterion. ``older_than`` is in seconds, ``error`` a part of it."""

    ids: tuple[str, ...] = ()
    error: str | None = None
    older_than: float | None = None

    @property
    def everything(self) -> bool:
        """Tell whether nothing narrows it."""
        return self == Wanted()

    def fits(self, letter: DeadLetter, now: datetime) -> bool:
        """Tell whether a letter is meant; one that does not tell its time is older than nothing."""
        if self.ids and letter.message_id not in self.ids:
            return False
        if self.error is not None and self.error.casefold() not in (letter.error or "").casefold():
            return False
        if self.older_than is None:
            return True
        return letter.failed_at is not None and (now - letter.failed_at).total_seconds() > self.older_than


@dataclass(frozen=True, slots=True)
class Reach:
    """How far to look: at ``scan`` letters at most, for ``limit`` that fit, until none came for ``quiet`` seconds.

    ``bodies`` keeps the bodies of those that fit, which a replay needs.
    """

    scan: int = 10_000
    limit: int | None = None
    quiet: float = 2.0
    bodies: bool = False


class Drawer:
    """The dead letters of a worker's queue, held while it is open. What was not removed goes back when it is closed.

    ``looked_at`` counts what the broker handed over, ``more`` tells whether there may be others behind those.
    """

    def __init__(self, worker_queue: str) -> None:
        self.worker_queue = worker_queue.removeprefix(DEAD_LETTER_PREFIX)
        self.looked_at = 0
        self.more = False
        self._arrived: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        self._link = Link(self._arrived.put)

    @property
    def name(self) -> str:
        """Return the name of the dead letter queue."""
        return f"{DEAD_LETTER_PREFIX}{self.worker_queue}"

    def __enter__(self) -> Drawer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._link.close()

    def look(self, wanted: Wanted, reach: Reach) -> list[DeadLetter]:
        """Return the letters that fit, oldest first. Once for a drawer.

        Raises ``ConfigurationError`` when there is no such queue, ``BrokerUnavailable`` or ``BrokerRefused``.
        """
        bound = reach.scan if reach.limit is None or not wanted.everything else min(reach.limit, reach.scan)
        self._subscribe(bound)
        now, found = timezone.now(), []
        for delivery in self._deliveries(bound, reach.quiet):
            letter = DeadLetter.of(delivery, self.worker_queue, keep_body=reach.bodies)
            if not wanted.fits(letter, now):
                continue
            found.append(letter)
            if reach.limit is not None and len(found) >= reach.limit:
                self.more = True
                break
        return found

    def remove(self, letter: DeadLetter) -> None:
        """Take a letter out for good. Raises ``BrokerUnavailable`` when the connection is gone: then it stays."""
        if not self._link.ack(letter.delivery):
            raise BrokerUnavailable(
                f"The connection was lost: {self._link.failure}. What was not removed is back in {self.name}."
            )

    def _subscribe(self, bound: int) -> None:
        self._link.open()
        dialect = self._link.dialect
        try:
            destination = dialect.dead_letter_destination(self.worker_queue)
            self._link.subscribe(destination, dialect.browse_headers(bound))
        except SubscriptionRefused as error:
            if "NOT_FOUND" not in str(error):
                raise
            raise ConfigurationError(
                f"The broker has no queue {self.name}. Give the queue as `subscribe` is given it; its dead letter "
                "queue is made when its first subscriber starts."
            ) from error

    def _deliveries(self, bound: int, quiet: float) -> Iterator[Delivery]:
        until = time.monotonic() + quiet
        while True:
            try:
                delivery = self._arrived.get(timeout=max(0.0, min(_LOOK_SECONDS, until - time.monotonic())))
            except queue.Empty:
                self._require_connection()
                if time.monotonic() >= until:
                    return
                continue
            self.looked_at += 1
            yield delivery
            if self.looked_at >= bound:
                self.more = True
                return
            until = time.monotonic() + quiet

    def _require_connection(self) -> None:
        if not self._link.is_connected():
            raise BrokerUnavailable(
                f"The connection was lost while reading {self.name}: {self._link.failure}. "
                "All letters are back in their places; try again."
            )


class Replay:
    """Sends dead letters to the queues they were in. ``failures`` pairs each that could not be sent with the reason."""

    def __init__(self, drawer: Drawer, transport: StompTransport | None = None) -> None:
        self.failures: list[tuple[DeadLetter, str]] = []
        self._drawer = drawer
        self._transport = StompTransport() if transport is None else transport
        self._there: dict[str, bool] = {}

    def run(self, letters: Sequence[DeadLetter]) -> Iterator[int]:
        """Send and remove them; yield how many each batch was. Raises ``BrokerError``: what is done is done."""
        self._transport.connect()
        try:
            for start in range(0, len(letters), BATCH):
                yield self._send(letters[start : start + BATCH])
        finally:
            self._transport.close()

    def _send(self, letters: Sequence[DeadLetter]) -> int:
        ready, outgoing = {}, []
        for letter in letters:
            message = self._message(letter)
            if message is not None:
                ready[message.key] = letter
                outgoing.append(message)
        report = self._transport.send(outgoing, Patience(deadline=time.monotonic() + settings.RECEIPT_TIMEOUT))
        for key in report.confirmed:
            self._drawer.remove(ready[key])
        self.failures += [(ready[key], words) for key, words in report.refused.items()]
        if report.unsettled is not None:
            raise BrokerUnavailable(
                f"The broker did not confirm a replay: {report.detail}. Unconfirmed letters stay in "
                f"{self._drawer.name}, and may also have been sent: consumers know a second one by its id. Try again."
            )
        return len(report.confirmed)

    def _message(self, letter: DeadLetter) -> Outgoing | None:
        """Return what to send, None when the letter cannot be replayed."""
        dialect = self._transport.dialect
        try:
            source = source_of(letter, dialect)
        except ConfigurationError as error:
            self.failures.append((letter, str(error)))
            return None
        # RabbitMQ confirms what goes to a queue that does not exist, and drops it.
        if dialect.declares_queues and source not in self._there:
            self._there[source] = queue_is_there(source)
        if not self._there.get(source, True):
            self.failures.append((letter, f"There is no queue {source}. Start its subscriber, which makes it."))
            return None
        return replayed(letter, source, dialect)


def source_of(letter: DeadLetter, dialect: Dialect) -> str:
    """Return the broker's own name of the queue that a letter was in, for ``Dialect.queue``.

    As its story tells, else as RabbitMQ does, else by the name of the dead letter queue. Raises ``ConfigurationError``.
    """
    if story.QUEUE in letter.headers:
        return dialect.source(letter.destination, letter.queue)
    if letter.died_in is not None and not letter.died_in.startswith(RETRY_PREFIX):
        return letter.died_in
    return letter.queue


def replayed(letter: DeadLetter, source: str, dialect: Dialect) -> Outgoing:
    """Return the message that a letter is sent again as: to that queue only, under its own id, begun anew."""
    destination = dialect.queue(source)
    headers = story.begin_anew(letter.headers, letter.destination)
    sendable = {name: value for name, value in headers.items() if unsendable({name: value}) is None}
    return Outgoing(uuid.uuid4(), destination, letter.body, sendable | dict(dialect.send_headers(destination)))


def _moment(text: Any) -> datetime | None:
    try:
        moment = parse_datetime(str(text)) if text else None
    except ValueError:
        return None
    if moment is None:
        return None
    aware = moment if timezone.is_aware(moment) else moment.replace(tzinfo=UTC)
    return aware if timezone.is_aware(timezone.now()) else timezone.make_naive(aware)


def _number(text: Any) -> int:
    return int(text) if str(text).isascii() and str(text).isdecimal() else 0
