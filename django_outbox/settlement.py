"""Tells the broker how a delivery ended: acknowledged, sent on for a later try, or put among the dead letters.

A message that failed is copied to where it goes next, and only when the broker has confirmed the copy is the original
acknowledged. A retry that cannot be had makes a dead letter; if no copy can be sent at all the original is refused, and
the broker moves it to the dead letters by itself, without the story. So nothing is lost; at worst, when the confirm is
lost or the process ends between the two steps, both exist. Messages that took effect are ``acknowledging.py``'s.
``consumer.py`` makes one settler for its workers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from django_outbox import metrics, settings
from django_outbox.acknowledging import Acknowledger
from django_outbox.forwarding import Copy, Fate, Forwarder
from django_outbox.processing import DONE, Outcome
from django_outbox.story import attempts_of, delay_before_next, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django_outbox.link import Delivery
    from django_outbox.processing import Ending
    from django_outbox.story import Failure
    from django_outbox.subscription import Subscription

logger = logging.getLogger("django_outbox_pattern.consumer")


class Settler:
    """Settles the deliveries of one subscription, each on the link that it came through; used by all workers."""

    def __init__(self, subscription: Subscription, forwarder: Forwarder) -> None:
        self.subscription = subscription
        self._forwarder = forwarder
        self._acknowledger = Acknowledger(subscription.effective_prefetch, self._count)

    def show_zeros(self) -> None:
        """Export each series before its first event: Prometheus sees no increase in one that begins at 1."""
        queue = self.subscription.queue
        for outcome in Outcome:
            if outcome is not Outcome.LEFT:
                metrics.RECEIVED.labels(queue, outcome.value)
        for series in (metrics.REDELIVERED, metrics.RETRIED, metrics.DEAD_LETTERED, metrics.RECEIVE_LAG):
            series.labels(queue)

    def settle_all(self, ended: Sequence[tuple[Delivery, Ending]]) -> None:
        """Do what the endings ask for. Nothing is said on a link that is gone: the broker delivers again."""
        done = [pair for pair in ended if pair[1].outcome in DONE]
        if done:
            self._acknowledger.add(done)
        for delivery, ending in ended:
            if ending.failure is not None and self._part_with(delivery, ending.failure):
                self._count([(delivery, ending)])

    def flush(self) -> None:
        """Send the acknowledgements that wait for others."""
        self._acknowledger.flush()

    def _count(self, ended: Sequence[tuple[Delivery, Ending]]) -> None:
        """Count deliveries that were settled; a label is looked up once for all of them."""
        outcomes = [ending.outcome for _, ending in ended]
        for outcome in set(outcomes):
            metrics.RECEIVED.labels(self.subscription.queue, outcome.value).inc(outcomes.count(outcome))
        series, now = metrics.RECEIVE_LAG.labels(self.subscription.queue), timezone.now()
        for delivery, ending in ended:
            if ending.outcome is Outcome.ACK:
                lag = lag_seconds(delivery.headers.get("dop-msg-sent-time"), now)
                if lag is not None:
                    series.observe(lag)

    def _part_with(self, delivery: Delivery, failure: Failure) -> bool:
        """Send a failed message on; returns whether the original could be settled."""
        if not delivery.link.is_connected():
            # It comes again by itself, and a copy would be one too many.
            return delivery.link.nack(delivery)
        failed = attempts_of(delivery.headers) + 1
        seconds = self._delay(failure, failed)
        copy = Copy(
            body=delivery.body if delivery.raw is None else delivery.raw,
            headers=tell(delivery.headers, failure, self.subscription.queue, timezone.now()),
        )
        fate = Fate.FAILED
        if seconds is not None:
            fate = self._forwarder.to_later(copy, seconds)
            if fate is Fate.SENT:
                return self._note_retry(delivery, failure, failed, seconds)
        if fate is Fate.FAILED:
            fate = self._forwarder.to_dead_letters(copy)
        settled = delivery.link.ack(delivery) if fate is Fate.SENT else delivery.link.nack(delivery)
        return self._note_death(delivery, failure, failed, settled=settled)

    def _delay(self, failure: Failure, failed: int) -> float | None:
        if self.subscription.is_passing:
            # A queue that goes with its connection may be gone when the message comes back.
            return None
        return delay_before_next(failure, failed, settings.CONSUMER_RETRY_DELAYS)

    def _note_retry(self, delivery: Delivery, failure: Failure, failed: int, seconds: float) -> bool:
        settled = delivery.link.ack(delivery)
        metrics.RETRIED.labels(self.subscription.queue).inc()
        logger.warning(
            "Message %s failed %s times and comes again in %g s: %s",
            *(delivery.message_id, failed, seconds, failure.error),
            extra=self._about(delivery, failure, failed) | {"retry_in": seconds},
        )
        return settled

    def _note_death(self, delivery: Delivery, failure: Failure, failed: int, *, settled: bool) -> bool:
        if settled:
            metrics.DEAD_LETTERED.labels(self.subscription.queue).inc()
            logger.warning(
                "Message %s went to %s: %s",
                *(delivery.message_id, self.subscription.dead_letter_queue, failure.error),
                extra=self._about(delivery, failure, failed),
            )
        return settled

    def _about(self, delivery: Delivery, failure: Failure, failed: int) -> dict[str, Any]:
        """Return the structured fields of a log record; never the body."""
        return {
            "queue": self.subscription.queue,
            "destination": self.subscription.destination,
            "delivery_id": delivery.message_id,
            "attempts": failed,
            "fingerprint": failure.fingerprint,
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
