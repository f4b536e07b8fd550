"""What is written down of a batch once the broker has spoken, or has not: sent, failed, or given back.

``relay.py`` sends and has ``isolation.py`` judge; here that becomes rows, log records and counters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django_outbox import metrics, settings, store
from django_outbox.accounting import about, note_sent
from django_outbox.isolation import Verdict
from django_outbox.retry import RetryPolicy
from django_outbox.transport.base import Unsettled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django_outbox.endurance import Endurance
    from django_outbox.lifecycle import StopSignal
    from django_outbox.store import Claim, ClaimedRow
    from django_outbox.transport.base import SendReport

logger = logging.getLogger("django_outbox_pattern")

# How long a row waits that may or may not be why the broker was silent.
DEFER_SECONDS = 5.0
_ERROR_LIMIT = 2000
# What becomes of the later rows of the key, by ORDER_ON_FAILURE.
_FOLLOWERS = {
    "block": ". The later messages of its key wait until it is retried or removed",
    "park": ". The later messages of its key are parked behind it",
    "skip": ". The later messages of its key go on without it",
}


@dataclass(frozen=True)
class Bookkeeper:
    """Writes to the outbox of the database ``using``, however long that takes (``endurance``)."""

    using: str
    stop: StopSignal
    endurance: Endurance
    retry: RetryPolicy = field(default_factory=RetryPolicy.from_settings)

    def conclude(self, claim: Claim, sent: Sequence[ClaimedRow], report: SendReport, verdict: Verdict) -> int:
        """Write down what became of a batch, and count it; return how many rows are to be sent again.

        ``sent`` are the rows that went out, ``verdict`` is what those among them deserve that were not answered.
        """
        unanswered = [row for row in sent if row.id not in report.confirmed and row.id not in report.refused]
        failures = [self._failure(row, report.refused[row.id], "refused") for row in sent if row.id in report.refused]
        if verdict is Verdict.CHARGE and not self.stop.is_set():
            reason = str(report.unsettled or Unsettled.TIMEOUT)
            failures += [self._failure(row, report.detail, reason) for row in unanswered]
            unanswered = []
        self.settle(claim, sent, report)
        if failures:
            self.endurance.persist(lambda: store.charge(claim.token, failures, self.using))
        self.give_back(claim, [row.id for row in unanswered], verdict)
        self.give_back(claim, list(report.unsent))
        return len(unanswered) + len(report.unsent)

    def settle(self, claim: Claim, sent: Sequence[ClaimedRow], report: SendReport) -> None:
        """Mark the confirmed ones of ``sent`` as sent."""
        if not report.confirmed:
            return
        ids = list(report.confirmed)
        kept = self.endurance.persist(lambda: store.settle(claim.token, ids, self.using))
        if kept < len(ids):
            logger.warning(
                "%d of %d sent messages had been claimed anew meanwhile and may be sent twice",
                len(ids) - kept,
                len(ids),
            )
        note_sent(sent, report.confirmed)

    def release(self, claim: Claim) -> None:
        """Give a whole claim back, for any publisher to take."""
        self.give_back(claim, [row.id for row in claim.rows])

    def give_back(self, claim: Claim, ids: Sequence[UUID], verdict: Verdict = Verdict.RELEASE) -> None:
        """Give rows back without counting a failure: to be taken at once, or a little later if the verdict says so."""
        if not ids:
            return
        if verdict is Verdict.DEFER and not self.stop.is_set():
            self.endurance.persist(lambda: store.defer(claim.token, ids, DEFER_SECONDS, self.using))
        else:
            self.endurance.persist(lambda: store.release(claim.token, ids, self.using))

    def _failure(self, row: ClaimedRow, error: str, reason: str) -> store.Failure:
        failures = row.retry + 1
        rest = self.retry.seconds_until_next(failures)
        metrics.PUBLISHED.labels(destination=row.destination, result="error").inc()
        if rest is None:
            logger.error(
                "Message no published with id: %s, parked as failed after %d sends: %s%s",
                row.id,
                failures,
                error,
                "" if row.key is None else _FOLLOWERS[settings.ORDER_ON_FAILURE],
                extra=about(row) | {"attempts": failures},
            )
        else:
            metrics.PUBLISH_RETRIES.labels(destination=row.destination, reason=reason).inc()
            logger.warning(
                "Message with id %s failed for the %d. time, next in %.0f s: %s",
                *(row.id, failures, rest, error),
                extra=about(row) | {"attempts": failures, "retry_in": rest},
            )
        return store.Failure(row_id=row.id, failures=failures, rest=rest, error=_storable(error))


def _storable(error: str) -> str:
    """Return the broker's words as a text column takes them."""
    return error.replace("\0", "")[:_ERROR_LIMIT]
