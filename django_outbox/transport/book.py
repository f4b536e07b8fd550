"""What became of the messages of one connection: which receipts are due, which have come, what the broker said else.

``publishing.py`` notes what it sends and asks what is known; the connection's receiver notes what comes.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from stomp.listener import ConnectionListener

from django_outbox.transport.base import Patience, SendReport, Unsettled
from django_outbox.transport.stomp import describe_error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

TICK_SECONDS = 1.0
# An ERROR frame and the end of the connection come as two events; the second may be a moment behind.
_ERROR_GRACE_SECONDS = 0.1
# What Artemis says of each message behind the one that cost the connection: no word about these.
_CONNECTION_IS_GOING = "AMQ339010"


class ReceiptBook(ConnectionListener):  # type: ignore[misc]
    """Which messages of one connection are answered; written by stomp.py's receiver, read by the sender."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        # Who waits for a receipt, and since when.
        self._open: dict[str, tuple[UUID, float]] = {}
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

    def expect(self, receipts: Mapping[str, UUID]) -> None:
        """Note messages just before they are sent: the answer may be here before the call returns."""
        with self._changed:
            now = time.monotonic()
            for receipt, key in receipts.items():
                self._open[receipt] = (key, now)

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
        self.hear([frame.headers.get("receipt-id")])

    def hear(self, receipts: Sequence[str]) -> None:
        """Note the broker's confirms of many messages, or its answer to a question."""
        with self._changed:
            now = time.monotonic()
            is_news = False
            for receipt in receipts:
                if receipt in self._questions:
                    self._questions.discard(receipt)
                    is_news = True
                sent = self._open.pop(receipt, None)
                if sent is not None:
                    key, since = sent
                    self._report.confirmed[key] = now - since
                    self._news.append(key)
                    is_news = is_news or self._wakes_for_each
            if is_news or self._is_over():
                self._changed.notify_all()

    def on_error(self, frame: Any) -> None:
        """Note the broker's refusal, of one message where it says which."""
        with self._changed:
            words = describe_error(frame)
            if _CONNECTION_IS_GOING in words:
                return
            sent = self._open.pop(frame.headers.get("receipt-id"), None)
            if sent is None:
                self._errors.append(words)
            else:
                self._report.refused[sent[0]] = words
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
            for (key, _since), words in zip(self._open.values(), self._errors, strict=True):
                report.refused[key] = words
            self._open.clear()
        elif self._open:
            report.unsettled = Unsettled.CONNECTION_LOST if self._errors else Unsettled.TIMEOUT
            report.detail = self._errors[-1] if self._errors else "the broker did not confirm in time"
        return report
