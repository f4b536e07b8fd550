"""Sends batches over STOMP with a receipt for each message, so that "sent" means "the broker has it".

The relay's real ``Transport``. RabbitMQ answers a receipt on a SEND only after the confirm of that message; a receipt
on anything else says nothing about the messages before it. A message that the broker rejects (a full queue) is answered
by nothing at all, which is why waiting has an end.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stomp.exception import StompException
from stomp.listener import ConnectionListener

from django_outbox import settings
from django_outbox.dialects import Dialect
from django_outbox.transport.base import Patience, SendReport, Unsettled
from django_outbox.transport.declared import DeclaredQueues
from django_outbox.transport.lanes import Lanes
from django_outbox.transport.stomp import OpenConnection, abort, describe_error, hosts_in_words, open_connection
from django_outbox.transport.wire import bound_sending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from django_outbox.transport.base import Outgoing

TICK_SECONDS = 1.0
# How long a broker that stopped confirming has to answer a question, before it counts as blocked.
QUESTION_SECONDS = 3.0
# An ERROR frame and the end of the connection come as two events; the second may be a moment behind.
_ERROR_GRACE_SECONDS = 0.1
# Ours alone: a row that brings them would break the frame or the bookkeeping.
_FRAME_HEADERS = frozenset({"destination", "content-length", "receipt"})


@dataclass(slots=True)
class _Sent:
    key: UUID
    at: float


class ReceiptBook(ConnectionListener):  # type: ignore[misc]
    """Which messages of one connection are answered; written by stomp.py's receiver, read by the sender."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._open: dict[str, _Sent] = {}
        self._report = SendReport()
        self._news: list[UUID] = []
        self._errors: list[str] = []
        self._lost = False
        self._wakes_for_each = False
        self._questions: set[str] = set()

    def begin(self, *, wakes_for_each: bool = False) -> None:
        """Start the bookkeeping of a new batch; ``wakes_for_each`` is for who has to act on each confirm."""
        with self._changed:
            self._report = SendReport()
            self._news = []
            self._errors = []
            self._wakes_for_each = wakes_for_each

    def expect(self, receipt: str, key: UUID) -> None:
        """Note a message just before it is sent: the answer may be here before the call returns."""
        with self._changed:
            self._open[receipt] = _Sent(key, time.monotonic())

    def ask(self, receipt: str) -> None:
        """Note a question just before it is asked."""
        with self._changed:
            self._questions.add(receipt)

    def is_asking(self) -> bool:
        """Tell whether a question is not answered yet."""
        with self._changed:
            return bool(self._questions)

    def wait_for_answer(self, patience: Patience) -> bool:
        """Wait until every question is answered, and tell whether that is so."""
        with self._changed:
            while self._questions and not self._lost and patience.left() > 0:
                self._changed.wait(min(TICK_SECONDS, patience.left()))
                patience.tick()
            return not self._questions and not self._lost

    def refuse(self, key: UUID, why: str) -> None:
        """Note a message that is not sent because it cannot be said in a frame."""
        with self._changed:
            self._report.refused[key] = why

    def on_receipt(self, frame: Any) -> None:
        """Note the broker's confirm of one message."""
        with self._changed:
            receipt = frame.headers.get("receipt-id")
            if receipt in self._questions:
                self._questions.discard(receipt)
                self._changed.notify_all()
            sent = self._open.pop(receipt, None)
            if sent is not None:
                self._report.confirmed[sent.key] = time.monotonic() - sent.at
                self._news.append(sent.key)
                if self._wakes_for_each or self._is_over():
                    self._changed.notify_all()

    def on_error(self, frame: Any) -> None:
        """Note the broker's refusal, of one message where it says which."""
        with self._changed:
            words = describe_error(frame)
            sent = self._open.pop(frame.headers.get("receipt-id"), None)
            if sent is None:
                self._errors.append(words)
            else:
                self._report.refused[sent.key] = words
            self._changed.notify_all()

    def on_disconnected(self) -> None:
        """Note that no further answer will come."""
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    def wait(self, patience: Patience) -> SendReport:
        """Wait until every message is answered, the connection is lost, or patience ends; return what is known."""
        while self.news(patience):
            pass
        return self.conclude()

    def news(self, patience: Patience) -> list[UUID]:
        """Wait for confirms and return those since the last call; none when there is nothing more to wait for.

        Where a confirm lets nobody else go, they are returned all together. Without a word from a broker that has
        complained, no further confirm is to be expected.
        """
        with self._changed:
            while not (self._news and self._wakes_for_each) and not self._is_over() and patience.left() > 0:
                before = len(self._open)
                self._changed.wait(min(TICK_SECONDS, patience.left()))
                patience.tick()
                if self._errors and len(self._open) == before:
                    return []
            news, self._news = self._news, []
            return [] if self._errors or self._lost else news

    def conclude(self) -> SendReport:
        """Return what is known."""
        with self._changed:
            if self._errors:
                self._changed.wait_for(lambda: self._lost, _ERROR_GRACE_SECONDS)
            return self._conclude()

    def abandon(self) -> SendReport:
        """Return what is known, without waiting: nothing more will be heard."""
        with self._changed:
            self._lost = True
            return self._conclude()

    def _is_over(self) -> bool:
        # RabbitMQ goes on after a message that it cannot route: each ERROR then stands for one message without receipt.
        return self._lost or len(self._open) <= len(self._errors)

    def _conclude(self) -> SendReport:
        report = self._report
        if self._lost or len(self._errors) > len(self._open):
            report.unsettled = Unsettled.CONNECTION_LOST
            report.detail = self._errors[-1] if self._errors else "the connection to the broker was lost"
        elif self._errors and len(self._errors) == len(self._open):
            # Frames are taken in order, and so are the errors about them.
            for sent, words in zip(self._open.values(), self._errors, strict=True):
                report.refused[sent.key] = words
            self._open.clear()
        elif self._open:
            report.unsettled = Unsettled.CONNECTION_LOST if self._errors else Unsettled.TIMEOUT
            report.detail = self._errors[-1] if self._errors else "the broker did not confirm in time"
        return report


class StompTransport:
    """Pipelined SENDs, one receipt each, over one connection at a time. The repr holds no credentials."""

    def __init__(self) -> None:
        self._open: OpenConnection | None = None
        self._book = ReceiptBook()
        self._generation = 0
        self._serial = 0
        self._declared = DeclaredQueues()
        self._written: set[UUID] = set()

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
        self._open = open_connection("publisher", listener=self._book)
        bound_sending(self._open.connection.transport.socket, settings.RECEIPT_TIMEOUT)

    def send(self, messages: Sequence[Outgoing], patience: Patience) -> SendReport:
        """Send all without waiting in between, except within a lane, then wait for the receipts."""
        lanes = Lanes(messages)
        self._written.clear()
        self._book.begin(wakes_for_each=lanes.any_waiting())
        failed = self._write_all(lanes.first, patience) or self._follow(lanes, patience)
        report = self._book.conclude() if failed is None else self._book.abandon()
        if failed is not None:
            report.unsettled, report.detail = failed
        report.blocked = report.unsettled is Unsettled.TIMEOUT and not self._still_reads(patience)
        report.unsent = {message.key for message in messages} - self._written
        if report.unsettled is not None:
            self._declared.learn(report.detail)
            self._cut()
        return report

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
        for message in messages:
            if patience.left() <= 0:
                return Unsettled.TIMEOUT, "the broker takes messages too slowly"
            try:
                self._write(self._open.connection, message, dialect)
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

    def _write(self, connection: Any, message: Outgoing, dialect: Dialect) -> None:
        self._written.add(message.key)
        problem = unsendable(message.headers, message.destination)
        if problem is not None:
            self._book.refuse(message.key, problem)
            return
        self._serial += 1
        receipt = f"{self._generation}-{self._serial}"
        headers = {name: value for name, value in message.headers.items() if name not in _FRAME_HEADERS}
        self._book.expect(receipt, message.key)
        needed = {**dialect.send_headers(message.destination), **self._declared.headers(message.destination)}
        headers = {**needed, **headers, "receipt": receipt}
        connection.send(message.destination, message.body, headers=headers)


def unsendable(headers: Mapping[str, str], destination: str = "/") -> str | None:
    """Return why these headers, or the destination, cannot be put in a frame, None when they can.

    stomp.py escapes values but neither names nor NUL, and a frame that goes out crooked takes its neighbours down.
    """
    for name, value in {**headers, "destination": destination}.items():
        if name == "destination" and not value:
            return "the destination is empty"
        if name == "transaction":
            return "the header 'transaction' is STOMP's own: the broker would wait for the end of one that nobody began"
        if not name or any(character in name for character in "\r\n:\0"):
            return f"the header name {name!r} is empty or holds a colon, a line break or NUL"
        if "\0" in value:
            return f"the header {name!r} holds NUL"
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            return f"the header {name!r} holds what UTF-8 cannot say"
    return None
