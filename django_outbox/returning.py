"""Brings failed messages back when their delay is over, where the broker leaves that to subscribers.

A thread with a connection of its own takes messages from the waiting queues, holds them unacknowledged until they are
due, has the broker confirm a copy in the subscriber's queue, and acknowledges only then. So whatever ends in between,
the broker still has the message; at worst, when the process ends before the acknowledgement, twice. Waiting costs
neither a callback's thread nor the prefetch of the subscriber's queue. ``consumer.py`` runs one ``Returner``.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django_outbox import settings, waiting
from django_outbox.declaring import queue_answers
from django_outbox.exceptions import BrokerError, BrokerUnavailable, SubscriptionRefused, SubscriptionUnanswered
from django_outbox.forwarding import Copy
from django_outbox.link import Link
from django_outbox.story import brought_back
from django_outbox.waitingroom import WaitingRoom

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.dialects import Dialect
    from django_outbox.forwarding import Forwarder
    from django_outbox.link import Delivery
    from django_outbox.subscription import Subscription
    from django_outbox.waitingroom import Held

logger = logging.getLogger("django_outbox_pattern.consumer")

# Of each waiting queue. What is behind them is due later, as good as always.
HELD_AT_ONCE = 50
# The longest that a lost connection, a stop or a first retry goes unnoticed.
_LOOK_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 30.0
# A queue that does not answer must not keep the others from being served for long.
_ANSWER_SECONDS = 10.0
# A queue that the broker refused is asked for again; that lets go of all that is held. Soon at first, since a quorum
# queue has no leader for a moment after its broker came back, and more and more seldom, since a missing right stays so.
_FIRST_REFUSAL_SECONDS = 1.0
_LONGEST_REFUSAL_SECONDS = 300.0
# A message with less left than this is due: another wait would take longer.
_AS_GOOD_AS_DUE_SECONDS = 0.05
_CLOSE_SECONDS = 1.0


@dataclass(frozen=True)
class Refusal:
    """How often in a row the broker did not give a queue, and when to ask for it again, on ``time.monotonic``."""

    times: int = 0
    until: float = 0.0

    def again(self, now: float) -> Refusal:
        """Return what holds after one more refusal."""
        pause = min(_FIRST_REFUSAL_SECONDS * 2.0 ** min(self.times, 10), _LONGEST_REFUSAL_SECONDS)
        return Refusal(self.times + 1, now + pause)


class Returner:
    """Brings back the failed messages of one subscription while the subscriber is subscribed.

    ``link`` returns the subscriber's own link, None while there is none; ``forwarder`` is this object's alone.
    """

    def __init__(
        self,
        subscription: Subscription,
        forwarder: Forwarder,
        link: Callable[[], Link | None],
    ) -> None:
        self._subscription = subscription
        self._forwarder = forwarder
        self._main = link
        self._stop = threading.Event()
        self._room = WaitingRoom()
        self._asked = self._looked = False
        self._refused: dict[str, Refusal] = {}
        self._thread = threading.Thread(target=self._run, name="outbox-returner", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a message waits: from then on there is something to do, whatever the settings say."""
        self._asked = True

    def stop(self) -> None:
        """Have it end; what it holds goes back to where it waits. Returns at once."""
        self._stop.set()
        self._room.nudge()

    def join(self, seconds: float) -> None:
        """Wait for its end, so many seconds at most."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    # --- the thread

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                self._look()
            except BrokerError as error:
                failures += 1
                self._note_trouble(error, failures)
            except Exception:
                failures += 1
                logger.exception("Retries are not being brought back", extra=self._about())
                self._stop.wait(_backoff(failures))
            else:
                failures = 0
        self._forwarder.close()

    def _look(self) -> None:
        """Serve the waiting queues while that can be done, else wait a moment."""
        main = self._main()
        if main is None or not main.is_connected() or not self._is_needed(main.dialect):
            self._stop.wait(_LOOK_SECONDS)
            return
        self._room = room = WaitingRoom()
        link = Link(lambda delivery: _hold(room, delivery), generation=main.generation)
        link.open()
        try:
            self._subscribe(link)
            self._serve(link, room)
        finally:
            link.close(_CLOSE_SECONDS)
        if link.failure is not None:
            # Whatever ended it may end the next one as well.
            raise BrokerUnavailable(f"{link.failure}.")

    def _is_needed(self, dialect: Dialect) -> bool:
        if not dialect.subscribers_bring_back or self._subscription.is_passing:
            return False
        return bool(settings.CONSUMER_RETRY_DELAYS) or self._asked or self._has_been_asked(dialect)

    def _has_been_asked(self, dialect: Dialect) -> bool:
        """Look once whether a queue is there: where the settings have no delays a callback may yet ask for one."""
        if not self._looked:
            first = next(iter(dialect.waiting_queues(self._source(dialect))))
            if queue_answers(first.replace("/queue/", "/amq/queue/", 1)):
                self._asked = True
            self._looked = True
        return self._asked

    def _subscribe(self, link: Link) -> None:
        """Subscribe to the waiting queues, but for those that the broker does not give. Raises ``BrokerError``."""
        now = time.monotonic()
        queues = link.dialect.waiting_queues(self._source(link.dialect), self._subscription.queue_headers)
        for destination, headers in queues.items():
            refusal = self._refused.get(destination, Refusal())
            if now < refusal.until:
                continue
            try:
                prefetching = {**headers, "prefetch-count": str(HELD_AT_ONCE)}
                link.subscribe(destination, prefetching, str(uuid.uuid4()), self._patience())
            except (SubscriptionRefused, SubscriptionUnanswered):
                # It has cost the connection; on the next one the others are asked for.
                self._refused[destination] = refusal.again(now)
                raise
            self._refused.pop(destination, None)

    def _patience(self) -> float:
        return min(settings.RECEIPT_TIMEOUT, _ANSWER_SECONDS)

    def _serve(self, link: Link, room: WaitingRoom) -> None:
        while not self._stop.is_set() and link.is_connected() and not self._is_to_ask_again():
            due = room.take_due(HELD_AT_ONCE, _LOOK_SECONDS)
            if due and self._is_subscribed():
                self._bring_back(due, link, room)
            elif due:
                # Without its subscriber the queue may be gone, and the broker would confirm and drop what goes there.
                for held in due:
                    room.put(held.delivery, _LOOK_SECONDS)
            else:
                self._forwarder.tend()

    def _bring_back(self, due: list[Held], link: Link, room: WaitingRoom) -> None:
        now = datetime.now(UTC)
        confirmed = self._forwarder.bring_back([self._copy(held.delivery, now) for held in due])
        for held, is_safe in zip(due, confirmed, strict=True):
            if is_safe:
                link.ack(held.delivery)
            else:
                room.put_again(held)

    def _copy(self, delivery: Delivery, now: datetime) -> tuple[Copy, float]:
        left = waiting.seconds_left(delivery.headers, now)
        body = delivery.body if delivery.raw is None else delivery.raw
        return Copy(body, brought_back(delivery.headers)), left if left > _AS_GOOD_AS_DUE_SECONDS else 0.0

    def _is_subscribed(self) -> bool:
        main = self._main()
        return main is not None and main.is_connected()

    def _is_to_ask_again(self) -> bool:
        """Tell whether messages may wait in a queue that was refused, and has not been asked for lately."""
        return any(time.monotonic() >= refusal.until for refusal in self._refused.values())

    def _note_trouble(self, error: BrokerError, failures: int) -> None:
        seconds = _backoff(failures)
        logger.warning("Retries wait on the broker: %s Trying again in %.1f s.", error, seconds, extra=self._about())
        self._stop.wait(seconds)

    def _source(self, dialect: Dialect) -> str:
        return dialect.source(self._subscription.destination, self._subscription.queue)

    def _about(self) -> dict[str, Any]:
        return {"queue": self._subscription.queue, "destination": self._subscription.destination}


def _hold(room: WaitingRoom, delivery: Delivery) -> None:
    room.put(delivery, waiting.seconds_to_hold(delivery.headers, datetime.now(UTC)))


def _backoff(failures: int) -> float:
    return min(0.5 * 2.0 ** min(failures, 10), _LONGEST_BACKOFF_SECONDS)
