"""The engine of ``subscribe``: one supervisor, one link to the broker at a time, and the threads that run callbacks.

The supervisor is the thread that calls ``ConsumerEngine.run``: it connects, declares, subscribes, watches, reconnects
with growing waits, and drains when asked to stop. Deliveries go from stomp.py's thread through ``DeliveryBuffer`` to
the workers; a worker has ``Processor`` decide and settles on the link that the delivery came through.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_outbox import connections, metrics, settings
from django_outbox.buffer import DeliveryBuffer
from django_outbox.exceptions import BrokerError, BrokerRefused
from django_outbox.lifecycle import EXIT_ASKED_TO_STOP, EXIT_GAVE_UP, StopSignal
from django_outbox.link import Delivery, Link, declare_without_taking
from django_outbox.processing import Outcome, Processor

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django_outbox.health import Health
    from django_outbox.subscription import Subscription

logger = logging.getLogger("django_outbox_pattern.consumer")

ROLE = "subscription"
NEEDS = ("broker", "subscription")

# How long the supervisor looks away; the most that a lost connection goes unnoticed.
_LOOK_SECONDS = 0.5
# DEFAULT_MAXIMUM_BACKOFF may shorten this. A broker that comes back should not wait an hour for its subscribers.
_LONGEST_BACKOFF_SECONDS = 30.0
# A broker that ignores prefetch-count is held back by TCP once this many deliveries wait.
_SMALLEST_BUFFER = 1000


class ConsumerEngine:
    """Consume one subscription until told to stop.

    ``health`` is told whether the worker lives and what it lacks. ``make_listener`` returns the project's own listener
    for a link, see ``link.Link``.
    """

    def __init__(
        self,
        subscription: Subscription,
        health: Health,
        make_listener: Callable[[Link], Any] | None = None,
    ) -> None:
        self.subscription = subscription
        self.health = health
        self.link: Link | None = None
        self.subscribed = threading.Event()
        self._make_listener = make_listener
        self._generation = 0
        self._attempts = 0
        self._declared = False
        self._lost_because = "lost"
        self._stop = StopSignal()
        self._buffer = DeliveryBuffer(max(subscription.effective_prefetch, _SMALLEST_BUFFER))
        self._processor = Processor(subscription, pause=self._pause, report=self._report_database)
        self._inflight = metrics.INFLIGHT.labels(subscription.queue)
        self._workers = [
            threading.Thread(target=self._work, name=f"outbox-worker-{number}", daemon=True)
            for number in range(1, subscription.concurrency + 1)
        ]

    def run(self, stop: StopSignal) -> int:
        """Work until ``stop`` is set; return the exit code: 0 drained, 2 gave up on callbacks that would not end.

        Broker and database trouble is ridden out. Raises ``ConfigurationError`` for settings that cannot work, and
        ``BrokerRefused`` when the very first login is refused.
        """
        self._stop = stop
        self._show_zeros()
        for worker in self._workers:
            worker.start()
        try:
            while not stop.is_set():
                self._look()
        finally:
            code = self._drain()
        return code

    def _show_zeros(self) -> None:
        """Export each series before its first event: Prometheus sees no increase in one that begins at 1."""
        queue = self.subscription.queue
        for host, port in settings.DEFAULT_STOMP_HOST_AND_PORTS:
            metrics.BROKER_CONNECTED.labels(f"{host}:{port}").set(0)
        for outcome in Outcome:
            if outcome is not Outcome.LEFT:
                metrics.RECEIVED.labels(queue, outcome.value)
        metrics.REDELIVERED.labels(queue)
        metrics.RECEIVE_LAG.labels(queue)

    # --- the supervisor

    def _look(self) -> None:
        """Do what is due: connect, notice a loss, or nothing."""
        self.health.beat()
        if self.link is None:
            self._try_to_link()
        elif not self.link.is_connected():
            self._unlink(self.link)
        else:
            if self.health.ready().ok:
                metrics.LOOP_LAST_SUCCESS.labels(ROLE).set_to_current_time()
            self._stop.wait(_LOOK_SECONDS)

    def _try_to_link(self) -> None:
        try:
            self.link = self._new_link()
        except BrokerError as error:
            if isinstance(error, BrokerRefused) and self._generation == self._attempts == 0:
                # Wrong from the start: whoever deployed this should hear it now, not read it in a log.
                raise
            self._attempts += 1
            # Whoever was away may come back without what was declared.
            self._declared = False
            seconds = self._backoff()
            reason = str(error)
            name = "subscription" if self.health.is_good("broker") else "broker"
            self.health.set_ready(name, False, reason)
            logger.warning("%s Trying again in %.1f s.", reason, seconds, extra=self._about())
            self._stop.wait(seconds)
        else:
            self._attempts = 0
            self.health.set_ready("subscription", True)
            self.subscribed.set()
            logger.info("Consumer started with id: %s", self.link.subscription_id, extra=self._about())

    def _new_link(self) -> Link:
        """Open the next link, with its queues declared and subscribed."""
        self.health.set_ready("broker", False, "connecting")
        link = Link(self._buffer.put, self._make_listener, self._generation + 1)
        link.open()
        try:
            self.health.set_ready("broker", True)
            self.health.beat()
            self._declare_dead_letter_queue()
            self.health.beat()
            link.subscribe(self.subscription.destination, self.subscription.headers())
        except BaseException:
            link.close(timeout=1.0)
            raise
        self._generation += 1
        metrics.BROKER_CONNECTED.labels(link.host).set(1)
        if self._generation > 1:
            metrics.BROKER_RECONNECTS.labels(link.host, self._lost_because).inc()
        logger.info("Created queue %s with id: %s", self.subscription.queue, link.subscription_id, extra=self._about())
        return link

    def _declare_dead_letter_queue(self) -> None:
        """Declare it before the first refusal: the broker drops what goes to a queue that does not exist."""
        if self._declared:
            return
        declare_without_taking(self.subscription.dead_letter_destination, self.subscription.dead_letter_headers())
        self._declared = True
        logger.info("Created queue %s", self.subscription.dead_letter_queue, extra=self._about())

    def _unlink(self, link: Link) -> None:
        """Let go of a link that failed. Its deliveries come again; those not begun are not begun."""
        reason = link.failure or "the connection was lost"
        self._lost_because = link.failure_kind
        # An ERROR may mean that a queue was deleted.
        self._declared = self._declared and link.failure_kind != "error"
        self.link = None
        self.subscribed.clear()
        self.health.set_ready("broker", False, reason)
        self.health.set_ready("subscription", False, "not subscribed: the connection was lost")
        metrics.BROKER_CONNECTED.labels(link.host).set(0)
        logger.warning("Lost the broker at %s: %s. Reconnecting.", link.host, reason, extra=self._about())
        link.close(timeout=1.0)

    def _backoff(self) -> float:
        longest = min(_LONGEST_BACKOFF_SECONDS, settings.DEFAULT_MAXIMUM_BACKOFF)
        seconds = min(0.5 * 2.0 ** min(self._attempts, 10), longest)
        return float(seconds * random.uniform(0.7, 1.0))  # noqa: S311 - spreads the workers of a restarted broker

    # --- the workers

    def _work(self) -> None:
        """Run callbacks until there is nothing to take any more."""
        try:
            while (delivery := self._buffer.take(on_idle=connections.release)) is not None:
                with self._inflight.track_inprogress():
                    self._handle(delivery)
        finally:
            connections.close_all()

    def _handle(self, delivery: Delivery) -> None:
        if not delivery.link.is_connected():
            # Its connection is gone: the broker has given the message to somebody else, or will again to us.
            return
        if delivery.redelivered:
            metrics.REDELIVERED.labels(self.subscription.queue).inc()
        try:
            outcome = self._processor.process(delivery.body, delivery.headers, delivery.link.connection)
        except Exception:
            logger.exception("Message %s could not be processed", delivery.message_id, extra=self._about())
            outcome = Outcome.ERROR
        self._settle(delivery, outcome)

    def _settle(self, delivery: Delivery, outcome: Outcome) -> None:
        if outcome is Outcome.LEFT:
            return
        sent = delivery.link.ack(delivery) if outcome.is_done else delivery.link.nack(delivery)
        if not sent:
            return
        metrics.RECEIVED.labels(self.subscription.queue, outcome.value).inc()
        lag = lag_seconds(delivery.headers.get("dop-msg-sent-time"), timezone.now())
        if outcome is Outcome.ACK and lag is not None:
            metrics.RECEIVE_LAG.labels(self.subscription.queue).observe(lag)
        if not outcome.is_done:
            logger.warning(
                "Message %s went to %s",
                delivery.message_id,
                self.subscription.dead_letter_queue,
                extra={**self._about(), "delivery_id": delivery.message_id, "outcome": outcome.value},
            )

    def _pause(self, seconds: float) -> bool:
        """Sleep in a worker's name, until the worker is asked to stop."""
        return self._stop.wait(seconds)

    def _report_database(self, reason: str | None) -> None:
        if reason is not None or not self.health.is_good("database"):
            self.health.set_ready("database", reason is None, reason or "")

    # --- the end

    def _drain(self) -> int:
        """Take nothing more, let the callbacks at work finish, and part from the broker."""
        limit = settings.DEFAULT_CONSUMER_SHUTDOWN_TIMEOUT
        logger.info("Stopping consumer gracefully", extra=self._about())
        self.health.set_ready("subscription", False, "stopping")
        self._buffer.close()
        unfinished = self._join_workers(None if limit is None else time.monotonic() + limit)
        if self.link is not None:
            self.link.close()
            metrics.BROKER_CONNECTED.labels(self.link.host).set(0)
        if unfinished:
            logger.error(
                "%s callbacks did not finish in %s s; the broker delivers their messages again",
                unfinished,
                limit,
                extra=self._about(),
            )
            return EXIT_GAVE_UP
        return EXIT_ASKED_TO_STOP

    def _join_workers(self, deadline: float | None) -> int:
        """Wait for the workers and return how many are still at work at the deadline."""
        while alive := [worker for worker in self._workers if worker.is_alive()]:
            left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
            if left <= 0:
                return len(alive)
            self.health.beat()
            alive[0].join(left)
        return 0

    def _about(self) -> dict[str, Any]:
        """Return the structured fields of a log record."""
        return {
            "queue": self.subscription.queue,
            "destination": self.subscription.destination,
            "generation": self._generation,
        }


def lag_seconds(sent: Any, now: datetime) -> float | None:
    """Return the seconds since a message was sent, None when it does not say when, or says it without a time zone."""
    try:
        moment = parse_datetime(str(sent)) if sent else None
    except ValueError:
        return None
    if moment is None or timezone.is_naive(moment) != timezone.is_naive(now):
        return None
    return max(0.0, (now - moment).total_seconds())
