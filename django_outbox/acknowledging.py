"""When the broker hears that messages took effect: of several at once, while they end quickly one after the other.

A broker answers each acknowledgement with the next message. Said one by one, both cost broker and worker more than the
rest of a small message's way. So those of messages that the inbox knows wait for each other, for a moment: a worker
that is killed meanwhile gets these messages once more and discards them. ``settlement.py`` makes one ``Acknowledger``.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django_outbox.link import Delivery, Link
    from django_outbox.processing import Ending

    Ended = tuple[Delivery, Ending]

logger = logging.getLogger("django_outbox_pattern.consumer")

# More in one piece saves nothing that could be measured.
_MOST = 32
# The broker must not run out of what it may hand over while acknowledgements wait.
_SHARE_OF_PREFETCH = 4
# Messages that end further apart than this are acknowledged one by one.
_QUICK_SECONDS = 0.01


class Acknowledger:
    """Acknowledges messages that took effect, each on the link that it came through; used by all workers.

    What waits goes out with the first message that ends more than 10 ms after the one before, with one that the inbox
    does not know, when 32 or a quarter of ``prefetch`` wait, and on ``flush``: whoever has nothing to do calls that, so
    that nothing waits for a message that does not come. ``note`` is told what the broker was told.
    """

    def __init__(
        self, prefetch: int, note: Callable[[Sequence[Ended]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = min(_MOST, prefetch // _SHARE_OF_PREFETCH)
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: list[Ended] = []
        self._last = clock()

    def add(self, ended: Sequence[Ended]) -> None:
        """Acknowledge these messages, now or in a moment."""
        with self._lock:
            now = self._clock()
            is_slow, self._last = now - self._last > _QUICK_SECONDS, now
            self._waiting += ended
            is_due = is_slow or len(self._waiting) >= self._most
        if is_due or not all(ending.is_recorded for _, ending in ended):
            self.flush()

    def flush(self) -> None:
        """Acknowledge what waits."""
        with self._lock:
            due, self._waiting = self._waiting, []
        self._send(due)

    def _send(self, due: Sequence[Ended]) -> None:
        by_link: dict[Link, list[Ended]] = {}
        for pair in due:
            by_link.setdefault(pair[0].link, []).append(pair)
        for link, ended in by_link.items():
            try:
                is_sent = link.ack_all([delivery for delivery, _ in ended])
            except Exception as error:
                logger.exception("%s messages could not be acknowledged; they come again", len(ended))
                # Unsettled on a link that stands they would stay in hand for good.
                link.fail(f"messages could not be acknowledged: {type(error).__name__}: {error}", "error")
            else:
                if is_sent:
                    self._note(ended)
