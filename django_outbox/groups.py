"""Several messages in one transaction, each with a callback of its own that knows nothing of the others.

``GroupProcessor`` asks the inbox once for all, runs the callbacks one after the other, records the messages with one
statement and commits. A callback that fails undoes its own writes only. What cannot share a transaction is handled once
more, alone: a message whose callback met trouble with the database, and each of a group that does not commit. So a
group changes nothing about what a message comes to. ``trials.py`` is one callback within it; ``processor_of`` says who
handles a subscription's messages.
"""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any, cast

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction

from django_outbox import correlation, inbox, tracing
from django_outbox.batches import BatchProcessor
from django_outbox.exceptions import OutboxError
from django_outbox.latesavepoints import LateSavepoints
from django_outbox.payloads import GroupPayload
from django_outbox.processing import LEFT, Ending, Job, Outcome, Processor
from django_outbox.savepoints import SpareSavepoint, prove_sound
from django_outbox.story import describe
from django_outbox.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_outbox.subscription import Subscription

logger = logging.getLogger("django_outbox_pattern.consumer")

# Locks are held and messages unsettled as long as a group lasts. Slow callbacks get small groups, so that one worker
# does not sit on what others could do.
_LONGEST_SECONDS = 0.25


def processor_of(
    subscription: Subscription,
    pause: Callable[[float], bool],
    report: Callable[[str | None], None] = lambda _reason: None,
) -> Processor:
    """Return the processor that the subscription needs; the arguments are those of ``Processor``."""
    kind = Processor if subscription.group == 1 else GroupProcessor
    return (kind if subscription.batching is None else BatchProcessor)(subscription, pause, report)


class Broken(OutboxError):  # noqa: N818 - the state of a transaction, not what went wrong
    """A callback left the transaction that it shares so that it can only be rolled back."""


class GroupProcessor(Processor):
    """Run a callback that takes one message for several messages in one transaction; all workers use the same one."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shares = True
        self._size = 1

    @property
    def at_once(self) -> int:
        """Return how many messages have been found to fit into a group: it doubles while they do."""
        return self._size if self._shares else 1

    def rounds(self, jobs: Sequence[Job]) -> Iterator[dict[int, Ending]]:
        """Handle the messages in as few transactions as may be; those not begun when asked to stop are left."""
        begun = 0
        while begun < len(jobs):
            if begun and self._pause(0):
                yield dict.fromkeys(range(begun, len(jobs)), LEFT)
                return
            begun += yield from self._next_group(jobs[begun:], begun)

    def _next_group(self, jobs: Sequence[Job], first: int) -> Generator[dict[int, Ending], None, int]:
        """Handle the first of these together, those that cannot be so alone, and return how many that were."""
        since = time.monotonic()
        if len(jobs) == 1 or not self._shares:
            yield {first: self._handle(jobs[0])}
            self._resize(1, 1, time.monotonic() - since)
            return 1
        seen = self._ask(lambda: inbox.seen_among(self.subscription.queue, [job.identity for job in jobs]), jobs[0])
        if seen is None:
            yield dict.fromkeys(range(first, first + len(jobs)), LEFT)
            return len(jobs)
        trials: list[Trial | None] = []
        try:
            self._run_all(jobs, seen, trials)
        except Exception as error:  # noqa: BLE001 - alone, each message is told its own
            self._note_broken(jobs[0], error)
            trials += [None] * (len(trials) < len(jobs))
            alone: Iterable[int] = range(len(trials))
        else:
            self._resize(len(jobs), len(trials), time.monotonic() - since)
            alone = [position for position, trial in enumerate(trials) if trial is not None and trial.again]
            yield {
                first + position: self._discard(jobs[position]) if trial is None else self._finish(trial)
                for position, trial in enumerate(trials)
                if trial is None or not trial.again
            }
        for position in alone:
            yield {first + position: LEFT if self._pause(0) else self._handle(jobs[position])}
        return len(trials)

    def _run_all(self, jobs: Sequence[Job], seen: set[str], trials: list[Trial | None]) -> None:
        """Run the callbacks and record their messages; ``trials`` gets an entry for each, None for those seen.

        Raises what keeps the transaction from being committed.
        """
        using = inbox.database_of(inbox.received_class())
        connection = connections[using]
        maker = inbox.row_maker(self.subscription.queue)
        processing = tracing.processing_in(self.subscription.destination, self.subscription.queue)
        until = time.monotonic() + _LONGEST_SECONDS
        identities: set[str] = set()
        with transaction.atomic(using=using):
            with LateSavepoints(connection):
                for job in jobs:
                    if job.identity is not None and job.identity in identities:
                        break  # Delivered twice: the next group finds what comes of this one.
                    identities.update([job.identity] if job.identity is not None else [])
                    trials.append(None if job.identity in seen else self._try(job, connection, maker, processing))
                    if time.monotonic() > until or not self._shares or self._pause(0):
                        break
            rows = [trial.payload.message for trial in trials if trial is not None and trial.is_to_be_recorded]
            if rows:
                inbox.record_all(rows)
            else:
                prove_sound(connection)

    def _try(
        self, job: Job, connection: BaseDatabaseWrapper, rows: inbox.RowMaker, processing: tracing.Processing
    ) -> Trial:
        """Run one callback. Raises ``Broken``, or what the database raises, when the group cannot go on."""
        with (
            correlation.bind(job.headers.get("dop-correlation-id") or str(uuid.uuid4())),
            processing([job.headers]) as span,
        ):
            payload = cast("GroupPayload", self._payload(job, GroupPayload, rows))
            trial = Trial(job, payload)
            first = len(connection.run_on_commit)
            with SpareSavepoint(connection) as savepoint:
                payload.protect = savepoint.make_if_needed
                trial.error = self._run(payload)
            is_broken = connection.needs_rollback
            if is_broken or trial.error is not None:
                savepoint.undo()
            else:
                savepoint.keep()
            if connection.needs_rollback:
                raise Broken("a callback left the transaction so that it can only be rolled back") from trial.error
            trial.take_hooks(connection, first)
            trial.again = is_broken or self._wants_to_be_alone(trial)
            span.ended(trial.outcome.value, failed=trial.outcome is not Outcome.ACK)
            return trial

    def _wants_to_be_alone(self, trial: Trial) -> bool:
        """Tell whether what went wrong may be due to the shared transaction, or is better tried again without it."""
        if trial.kept or trial.payload.nacked:
            return False
        if isinstance(trial.error, RuntimeError) and "durable" in str(trial.error):
            self._shares = False
            logger.warning(
                "The callback opens a durable transaction, which none can be round: its messages are handled one at a "
                "time. Leave --group and CONSUMER_GROUP_SIZE out for it.",
                extra=self._about(trial.job),
            )
            return True
        return trial.payload.duplicate or isinstance(trial.error, AnyDatabaseError)

    def _finish(self, trial: Trial) -> Ending:
        """Return how a message ended whose transaction has been committed."""
        with correlation.bind(trial.job.headers.get("dop-correlation-id")):
            return self._conclude(trial.payload, trial.job, trial.error)

    def _resize(self, given: int, handled: int, seconds: float) -> None:
        """Let the next group be as large as can be handled in time, as far as this one tells."""
        if seconds > _LONGEST_SECONDS / 2:
            self._size = handled
        elif handled == given >= self._size:
            self._size = min(2 * self._size, self.subscription.group)

    def _note_broken(self, job: Job, error: Exception) -> None:
        self._size = 1
        logger.warning(
            "A group of messages could not be committed together, they are handled one at a time: %s",
            describe(error),
            extra=self._about(job),
        )
