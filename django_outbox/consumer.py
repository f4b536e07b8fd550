"""The engine of ``subscribe``: one supervisor, one link to the broker at a time, and the threads that run callbacks.

The supervisor is the thread that calls ``ConsumerEngine.run``: it connects, declares, subscribes, watches, reconnects
with growing waits, and drains when asked to stop. Deliveries go from stomp.py's thread through ``DeliveryBuffer`` to
the workers; a worker has ``Processor`` decide and ``Settler`` tell the broker.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from typing import TYPE_CHECKING, Any

from django_outbox import connections, metrics, settings
from django_outbox.buffer import DeliveryBuffer
from django_outbox.declaring import declare_without_taking
from django_outbox.exceptions import BrokerError, BrokerRefused
from django_outbox.forwarding import Forwarder
from django_outbox.groups import processor_of
from django_outbox.lifecycle import EXIT_ASKED_TO_STOP, EXIT_GAVE_UP, StopSignal
from django_outbox.link import Delivery, Link
from django_outbox.processing import Ending, Job, Outcome
from django_outbox.returning import Returner
from django_outbox.settlement import Settler
from django_outbox.story import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django_outbox.dialects import Dialect
    from django_outbox.health import Health
    from django_outbox.subscription import Subscription

logger = logging.getLogger("django_outbox_pattern.consumer")

ROLE = "subscription"
NEEDS = ("broker", "subscription")

# How long the supervisor looks away; the most that a lost connection goes unnoticed.
_LOOK_SECONDS = 0.5
# A broker that gives up one link after the other sooner than this must not be stormed.
_SOUND_SECONDS = 5.0
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
        self._linked_at = 0.0
        self._short_lives = 0
        self._declared = False
        self._lost_because = "lost"
        self._stop = StopSignal()
        self._buffer = DeliveryBuffer(max(subscription.effective_prefetch, _SMALLEST_BUFFER))
        self._processor = processor_of(subscription, pause=self._pause, report=self._report_database)
        self._returner = Returner(subscription, Forwarder(subscription, self._declare_again), link=lambda: self.link)
        self._forwarder = Forwarder(subscription, self._declare_again, on_later=self._returner.wake)
        self._settler = Settler(subscription, self._forwarder)
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
        self._returner.start()
        try:
            while not stop.is_set():
                self._look()
        finally:
            code = self._drain()
        return code

    def _show_zeros(self) -> None:
        """Export each series before its first event: Prometheus sees no increase in one that begins at 1."""
        for host, port in settings.DEFAULT_STOMP_HOST_AND_PORTS:
            metrics.BROKER_CONNECTED.labels(f"{host}:{port}").set(0)
        self._settler.show_zeros()

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
            self._settler.flush()
            self._forwarder.tend()
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
            seconds = _backoff(self._attempts, _LONGEST_BACKOFF_SECONDS)
            reason = str(error)
            name = "subscription" if self.health.is_good("broker") else "broker"
            self.health.set_ready(name, False, reason)
            logger.warning("%s Trying again in %.1f s.", reason, seconds, extra=self._about())
            self._stop.wait(seconds)
        else:
            self._attempts = 0
            self._linked_at = time.monotonic()
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
            self._declare_dead_letter_queue(link.dialect)
            self.health.beat()
            self._subscribe(link)
        except BaseException:
            link.close(timeout=1.0)
            raise
        self._generation += 1
        metrics.BROKER_CONNECTED.labels(link.host).set(1)
        if self._generation > 1:
            metrics.BROKER_RECONNECTS.labels(link.host, self._lost_because).inc()
        logger.info("Created queue %s with id: %s", self.subscription.queue, link.subscription_id, extra=self._about())
        return link

    def _subscribe(self, link: Link) -> None:
        dialect, destination, queue = link.dialect, self.subscription.destination, self.subscription.queue
        headers = dialect.subscribe_headers(destination, queue, self.subscription.headers())
        link.subscribe(dialect.subscribe_destination(destination, queue), headers)

    def _declare_dead_letter_queue(self, dialect: Dialect) -> None:
        """Declare it before the first refusal: the broker drops what goes to a queue that does not exist."""
        if self._declared or not dialect.declares_queues:
            return
        declare_without_taking(self.subscription.dead_letter_destination, self.subscription.dead_letter_headers())
        self._declared = True
        logger.info("Created queue %s", self.subscription.dead_letter_queue, extra=self._about())

    def _declare_again(self) -> None:
        """Declare the dead letter queue in a worker's name, should somebody have deleted it."""
        link = self.link
        if link is None or not link.dialect.declares_queues:
            return
        declare_without_taking(self.subscription.dead_letter_destination, self.subscription.dead_letter_headers())

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
        self._settler.flush()
        link.close(timeout=1.0)
        self._short_lives = self._short_lives + 1 if time.monotonic() - self._linked_at < _SOUND_SECONDS else 0
        if self._short_lives > 1:
            self._stop.wait(_backoff(self._short_lives, _SOUND_SECONDS))

    # --- the workers

    def _work(self) -> None:
        """Run callbacks until there is nothing to take any more."""
        try:
            batching = self.subscription.batching
            wait = batching.seconds if batching else 0.0
            while deliveries := self._take(wait):
                # The broker gives the others to somebody else, or to us again.
                standing = [delivery for delivery in deliveries if delivery.link.is_connected()]
                try:
                    self._handle(standing)
                except Exception as error:
                    logger.exception("A worker met what nobody foresaw; its messages come again", extra=self._about())
                    self._let_go(standing, error)
        finally:
            connections.close_all()

    def _take(self, wait: float) -> list[Delivery]:
        """Return what to handle next, nothing at the end."""
        most = self._processor.at_once
        if len(self._buffer) < most:
            # Whoever may have to wait lets nobody wait for it.
            self._settler.flush()
        return self._buffer.take_many(most, wait, on_idle=connections.release)

    @staticmethod
    def _let_go(deliveries: list[Delivery], error: Exception) -> None:
        """Give up the links of deliveries left unsettled: on one that stands they would stay in hand for good."""
        for delivery in deliveries:
            delivery.link.fail(f"a worker could not go on: {type(error).__name__}: {error}", "error")

    def _handle(self, deliveries: list[Delivery]) -> None:
        """Handle deliveries whose connection stands."""
        if not deliveries:
            return
        self._inflight.inc(len(deliveries))
        try:
            redelivered = sum(delivery.redelivered for delivery in deliveries)
            metrics.REDELIVERED.labels(self.subscription.queue).inc(redelivered)
            for endings in self._process(deliveries):
                self._settler.settle_all([(deliveries[position], ending) for position, ending in endings.items()])
        finally:
            self._inflight.dec(len(deliveries))

    def _process(self, deliveries: list[Delivery]) -> Iterator[dict[int, Ending]]:
        """Yield how some of these ended, by position, so that they are settled while others are at work."""
        left = set(range(len(deliveries)))
        try:
            jobs = [Job.of(delivery.body, delivery.headers, delivery.link.connection) for delivery in deliveries]
            for endings in self._processor.rounds(jobs):
                left.difference_update(endings)
                yield endings
        except Exception as error:
            names = ", ".join(deliveries[position].message_id for position in sorted(left))
            logger.exception("Message %s could not be processed", names, extra=self._about())
            yield dict.fromkeys(sorted(left), Ending(Outcome.ERROR, Failure.of(error)))

    def _pause(self, seconds: float) -> bool:
        """Sleep in a worker's name, until the worker is asked to stop; without seconds, only tell whether it was."""
        return self._stop.wait(seconds) if seconds > 0 else self._stop.is_set()

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
        self._returner.stop()
        unfinished = self._join_workers(None if limit is None else time.monotonic() + limit)
        self._returner.join(_LOOK_SECONDS)
        if not unfinished:
            self._forwarder.close()
        self._settler.flush()
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


def _backoff(attempts: int, longest: float) -> float:
    """Return the seconds to wait after so many failures in a row; the spread parts the workers of one broker."""
    seconds = min(0.5 * 2.0 ** min(attempts, 10), longest, settings.DEFAULT_MAXIMUM_BACKOFF)
    return float(seconds * random.uniform(0.7, 1.0))  # noqa: S311
