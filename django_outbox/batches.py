"""What happens to the messages of a batch: one look into the inbox, one transaction, one verdict for each.

``BatchProcessor`` runs callbacks marked with ``@batch_callback``. A batch that fails is rolled back and handled again
in halves, until the message that fails stands alone: it fails as any other does, and those beside it take effect.
``groups.processor_of`` makes one for such a subscription.
"""

from __future__ import annotations

import logging
import uuid
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from django.db import transaction

from django_outbox import correlation, inbox, settings, tracing
from django_outbox.exceptions import CallbackVerdict, DuplicateMessage, OutboxError
from django_outbox.payloads import BatchPayload
from django_outbox.processing import ACK, LEFT, TRANSIENT, Ending, Job, Outcome, Processor
from django_outbox.story import Failure, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

logger = logging.getLogger("django_outbox_pattern.consumer")

# So often another worker may get ahead with messages of the same batch before it is handled in halves.
_RACES = 3


class RolledBack(OutboxError):  # noqa: N818 - what the callback did, not what went wrong
    """The callback asked Django to roll the batch's transaction back, and returned as if all were well."""


class BatchProcessor(Processor):
    """Run a callback that takes many messages, so that each takes effect once or ends as an error."""

    @property
    def at_once(self) -> int:
        """Return the size of a batch."""
        batching = self.subscription.batching
        return 1 if batching is None else batching.most

    def rounds(self, jobs: Sequence[Job]) -> Iterator[dict[int, Ending]]:
        """Handle all messages together."""
        if jobs:
            yield dict(enumerate(self._handle_together(jobs)))

    def _handle_together(self, jobs: Sequence[Job]) -> list[Ending]:
        subscription = self.subscription
        correlation_id = jobs[0].headers.get("dop-correlation-id") if len(jobs) == 1 else None
        with (
            correlation.bind(correlation_id or str(uuid.uuid4())),
            tracing.processing([job.headers for job in jobs], subscription.destination, subscription.queue) as span,
        ):
            endings = self._handle_each_once(jobs)
            failed = next((ending for ending in endings if ending.is_failure), None)
            span.ended((failed or endings[0]).outcome.value, failed=failed is not None)
            return endings

    def _handle_each_once(self, jobs: Sequence[Job]) -> list[Ending]:
        """Handle the first delivery of each message together; a second one in the same batch finds what came of it."""
        retries = settings.DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS
        first = {job.identity: position for position, job in reversed(list(enumerate(jobs)))}
        alone = [job.identity is not None and first[job.identity] != at for at, job in enumerate(jobs)]
        together = [job for job, again in zip(jobs, alone, strict=True) if not again]
        endings = iter(self._take(together, retries))
        return [
            self._take([job], retries)[0] if again else next(endings) for job, again in zip(jobs, alone, strict=True)
        ]

    def _take(self, jobs: list[Job], retries: int) -> list[Ending]:
        """Handle messages together, trying again where the database asks for it, or else in halves."""
        for attempt in count(1):
            seen = self._ask(lambda: inbox.seen_among(self.subscription.queue, [job.identity for job in jobs]), jobs[0])
            if seen is None:
                return [LEFT] * len(jobs)
            fresh = [job for job in jobs if job.identity not in seen]
            try:
                endings = iter(self._attempt(fresh) if fresh else [])
            except DuplicateMessage as error:
                if attempt > _RACES:
                    return self._divide(jobs, error, retries)
            except TRANSIENT as error:
                if attempt > retries:
                    return self._divide(jobs, error, 0)
                if self._pause(self._note_trouble(jobs, error, attempt)):
                    return [LEFT] * len(jobs)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whose it is shows when it stands alone
                return self._divide(jobs, error, retries)
            else:
                return [self._discard(job) if job.identity in seen else next(endings) for job in jobs]
        raise AssertionError("count() does not end")

    def _attempt(self, jobs: list[Job]) -> list[Ending]:
        """Run the callback and record its messages, all or none. Raises what keeps the transaction from committing."""
        rows = inbox.row_maker(self.subscription.queue)
        payloads = [cast("BatchPayload", self._payload(job, BatchPayload, rows)) for job in jobs]
        callback = cast("Callable[[list[BatchPayload]], object]", self.subscription.callback)
        using = inbox.database_of(inbox.received_class())
        with transaction.atomic(using=using):
            with self._duration.time():
                callback(list(payloads))
            inbox.record_all([payload.message for payload in payloads if not payload.is_decided])
            if transaction.get_rollback(using=using):
                raise RolledBack("the callback had its transaction rolled back")
        return [self._ending(payload, job) for payload, job in zip(payloads, jobs, strict=True)]

    def _ending(self, payload: BatchPayload, job: Job) -> Ending:
        if payload.nacked:
            return self._refused(payload)
        if payload.asked:
            return self._failed(payload.reason or "the callback asked for another try", asked=payload.asked)
        return ACK if payload.acked else job.recorded()

    def _divide(self, jobs: list[Job], error: BaseException, retries: int) -> list[Ending]:
        """Handle the halves of a batch that failed; blame a message that stands alone."""
        if len(jobs) == 1:
            return [self._blame(jobs[0], error)]
        logger.warning(
            "A batch of %s messages failed and is handled in halves: %s",
            *(len(jobs), describe(error)),
            extra=self._about(jobs[0]),
        )
        middle = len(jobs) // 2
        return self._take(jobs[:middle], retries) + self._take(jobs[middle:], retries)

    def _blame(self, job: Job, error: BaseException) -> Ending:
        if isinstance(error, CallbackVerdict):
            return self._obey(error, job)
        if isinstance(error, DuplicateMessage):
            return self._duplicate(job)
        logger.error(
            "An exception has been caught during callback processing flow", exc_info=error, extra=self._about(job)
        )
        return Ending(Outcome.ERROR, Failure.of(error))

    def _note_trouble(self, jobs: list[Job], error: Exception, attempt: int) -> float:
        """Log what the database did and return the seconds to wait."""
        seconds = settings.DEFAULT_CONSUMER_RETRY_WAIT * attempt
        about: dict[str, Any] = self._about(jobs[0])
        logger.warning(
            "A batch of %s messages: the database failed (%s), retry %s in %s s",
            *(len(jobs), error, attempt, seconds),
            extra=about,
        )
        return seconds
