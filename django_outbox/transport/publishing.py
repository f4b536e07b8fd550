"""Sends batches over STOMP with a receipt for each message, so that "sent" means "the broker has it".

The relay's real ``Transport``. RabbitMQ answers a receipt on a SEND only after the confirm of that message; a receipt
on anything else says nothing about the messages before it. A message that the broker rejects (a full queue) is answered
by nothing at all, which is why waiting has an end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from stomp.exception import StompException

from django_outbox import settings
from django_outbox.dialects import Dialect
from django_outbox.transport.base import Patience, SendReport, Unsettled
from django_outbox.transport.book import ReceiptBook
from django_outbox.transport.declared import DeclaredQueues
from django_outbox.transport.frames import send_frame, unsendable
from django_outbox.transport.lanes import Lanes
from django_outbox.transport.receipts import ReceiptTap
from django_outbox.transport.stomp import OpenConnection, abort, hosts_in_words, is_plain, open_connection, tap
from django_outbox.transport.wire import bound_sending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from django_outbox.transport.base import Outgoing

# How long a broker that stopped confirming has to answer a question, before it counts as blocked.
QUESTION_SECONDS = 3.0
# Written at once. What is not known to be written after a failure is at most this.
_CHUNK = 32
# Ours alone: a row that brings them would break the frame or the bookkeeping.
_FRAME_HEADERS = frozenset({"destination", "content-length", "receipt"})


class StompTransport:
    """Pipelined SENDs, one receipt each, over one connection at a time. The repr holds no credentials."""

    def __init__(self) -> None:
        self._open: OpenConnection | None = None
        self._book = ReceiptBook()
        self._generation = 0
        self._serial = 0
        self._declared = DeclaredQueues()
        self._written: list[Outgoing] = []

    @property
    def host(self) -> str:
        """The broker connected to, or those that would be tried."""
        return self._open.host if self._open else hosts_in_words()

    @property
    def dialect(self) -> Dialect:
        """How the broker connected to wants things said; the plain one before that."""
        return self._open.dialect if self._open else Dialect()

    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as is known."""
        return self._open is not None and self._open.is_connected()

    def connect(self) -> None:
        """Open a new connection in place of an old one. Raises ``BrokerUnavailable`` or ``BrokerRefused``."""
        self.close()
        self._generation += 1
        self._book = ReceiptBook()
        self._open = open_connection("publisher", listener=self._book, prepare=self._tap)
        bound_sending(self._open.connection.transport.socket, settings.RECEIPT_TIMEOUT)

    def send(
        self, messages: Sequence[Outgoing], patience: Patience, meanwhile: Callable[[], None] | None = None
    ) -> SendReport:
        """Send all without waiting in between, except within a lane, then wait for the receipts."""
        lanes = Lanes(messages)
        self._written.clear()
        self._book.begin(wakes_for_each=lanes.any_waiting())
        failed = self._write_all(lanes.first, patience)
        if meanwhile is not None:
            meanwhile()
        failed = failed or self._follow(lanes, patience)
        report = self._book.conclude() if failed is None else self._book.abandon()
        if failed is not None:
            report.unsettled, report.detail = failed
        report.blocked = report.unsettled is Unsettled.TIMEOUT and not self._still_reads(patience)
        report.unsent = self._unsent(messages)
        if report.unsettled is not None:
            self._declared.learn(report.detail)
            self._cut()
        return report

    def _unsent(self, messages: Sequence[Outgoing]) -> set[UUID]:
        if len(self._written) == len(messages):
            return set()
        return {message.key for message in messages} - {message.key for message in self._written}

    def is_answered(self, patience: Patience) -> bool:
        """Ask the broker what costs it nothing, and tell whether it answers. One that is blocked does so later.

        The question is the beginning of a transaction that nothing follows: the only frames that every broker answers
        and that leave nothing behind. As long as one is open, no other is asked.
        """
        if self._open is None:
            return False
        try:
            if not self._book.is_asking():
                self._ask(self._open.connection)
        except (StompException, OSError, AttributeError):
            # Also BlockingIOError: it does not even take the question.
            return False
        return self._book.wait_for_answer(patience)

    def _ask(self, connection: Any) -> None:
        self._serial += 1
        name = f"{self._generation}-{self._serial}"
        self._book.ask(name)
        connection.begin(name, receipt=name)
        connection.abort(name)

    def _still_reads(self, patience: Patience) -> bool:
        if patience.limit() is not None:
            return True  # Told to stop: there is no time to find out.
        return self.is_answered(Patience(time.monotonic() + QUESTION_SECONDS, patience.tick, patience.limit))

    def close(self) -> None:
        """Say goodbye and close; never raises."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _cut(self) -> None:
        """Close without the politeness that a dead or silent broker would make us wait for."""
        if self._open is not None:
            abort(self._open.connection)
            self._open = None

    def _follow(self, lanes: Lanes, patience: Patience) -> tuple[Unsettled, str] | None:
        """Wait for the receipts and let the next of each lane go; return why that stopped halfway."""
        # A lane that is slow but moves is no silence: the last of it must have as long for its receipt as others.
        last_call = time.monotonic() + patience.left() / 2
        while confirmed := self._book.news(patience):
            is_late = patience.limit() is not None or time.monotonic() > last_call
            failed = None if is_late else self._write_all(lanes.after(confirmed), patience)
            if failed is not None:
                return failed
        return None

    def _write_all(self, messages: Sequence[Outgoing], patience: Patience) -> tuple[Unsettled, str] | None:
        """Write the frames; return why that stopped halfway, None when it did not."""
        if self._open is None:
            return Unsettled.CONNECTION_LOST, "there is no connection to the broker"
        dialect = self.dialect
        for start in range(0, len(messages), _CHUNK):
            if patience.left() <= 0:
                return Unsettled.TIMEOUT, "the broker takes messages too slowly"
            try:
                self._write(self._open.connection, messages[start : start + _CHUNK], dialect)
            except BlockingIOError:
                return Unsettled.TIMEOUT, "the broker has stopped reading, as it does when memory or disk run out"
            except (StompException, OSError, AttributeError) as error:
                # AttributeError: stomp.py's receiver took its socket away while the frame was being written.
                return self._loss(error)
        return None

    def _loss(self, error: Exception) -> tuple[Unsettled, str]:
        # What the broker said before it closed explains more than the broken pipe we ran into.
        report = self._book.abandon()
        words = report.detail or f"the connection to the broker was lost: {error or type(error).__name__}"
        return Unsettled.CONNECTION_LOST, words

    def _write(self, connection: Any, messages: Sequence[Outgoing], dialect: Dialect) -> None:
        self._written.extend(messages)
        sent: dict[str, Outgoing] = {}
        for message in messages:
            problem = unsendable(message.headers, message.destination)
            if problem is None:
                self._serial += 1
                sent[f"{self._generation}-{self._serial}"] = message
            else:
                self._book.refuse(message.key, problem)
        self._book.expect({receipt: message.key for receipt, message in sent.items()})
        if is_plain(connection):
            frames = [
                send_frame(one.destination, one.body, self._headers(one, dialect), key) for key, one in sent.items()
            ]
            connection.transport.send(b"".join(frames))
            return
        for receipt, message in sent.items():
            headers = {**self._headers(message, dialect), "receipt": receipt}
            connection.send(message.destination, message.body, headers=headers)

    def _headers(self, message: Outgoing, dialect: Dialect) -> Mapping[str, Any]:
        own = {**dialect.send_headers(message.destination), **self._declared.headers(message.destination)}
        if not own and _FRAME_HEADERS.isdisjoint(message.headers):
            return message.headers
        return own | {name: value for name, value in message.headers.items() if name not in _FRAME_HEADERS}

    def _tap(self, connection: Any) -> None:
        tap(connection, ReceiptTap(self._book.hear))
