"""Several messages in one transaction, each with a callback of its own that knows nothing of the others.

``GroupProcessor`` asks the inbox once for all, runs the callbacks one after the other, records the messages with one
statement and commits. A callback that fails undoes its own writes only. What cannot share a transaction is handled once
more, alone: a message whose callback met trouble with the database, and each of a group that does not commit. So a
group changes nothing about what a message comes to. ``processor_of`` says who handles a subscription's messages.
"""

from __future__ import annotations

import logging
import time
import uuid
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.db import Error as AnyDatabaseError
from django.db import connections, transaction

from django_outbox import correlation, inbox, tracing
from django_outbox.batches import BatchProcessor
from django_outbox.exceptions import OutboxError
from django_outbox.payloads import GroupPayload
from django_outbox.processing import LEFT, Ending, Job, Outcome, Processor
from django_outbox.savepoints import SpareSavepoint
from django_outbox.story import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper

    from django_outbox.subscription import Subscription

logger = logging.getLogger("django_outbox_pattern.consumer")

# Locks are held and messages unsettled as long as a group lasts: slow callbacks get small groups.
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


@dataclass
class Trial:
    """A callback that has run, while its transaction is not committed yet."""

    job: Job
    payload: GroupPayload
    error: Exception | SystemExit | None = None
    again: bool = False
    """Whether it is to be handled once more, alone."""
    kept: bool = False
    """Whether its save has survived so far."""

    @property
    def outcome(self) -> Outcome:
        """What it will come to if the transaction commits; for the trace."""
        if self.payload.nacked:
            return Outcome.NACK
        return Outcome.ACK if self.error is None and (self.kept or self.payload.acked) else Outcome.ERROR

    def take_hooks(self, connection: BaseDatabaseWrapper, first: int) -> None:
        """Make the hooks that its callback left this message's: one that fails fails nobody else, nor their hooks."""
        hooks = connection.run_on_commit
        for position in range(first, len(hooks)):
            savepoints, hook, robust = hooks[position]
            if hook == self.payload.mark_committed:
                self.kept = True
            else:
                hooks[position] = (savepoints, self._guarded(hook), robust)

    def _guarded(self, hook: Callable[[], Any]) -> Callable[[], None]:
        context = copy_context()

        def run() -> None:
            if self.error is None:
                try:
                    context.run(hook)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is the message's
                    self.error = error

        return run


class GroupProcessor(Processor):
    """Run a callback that takes one message for several messages in one transaction."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._shares = True

    def rounds(self, jobs: Sequence[Job]) -> Iterator[list[Ending]]:
        """Handle the messages in transactions as large as may be, and yield how those of each ended."""
        rest = list(jobs)
        while rest:
            endings = self._together(rest) if self._shares and len(rest) > 1 else [self._handle(rest[0])]
            yield endings
            rest = rest[len(endings) :]

    def _together(self, jobs: Sequence[Job]) -> list[Ending]:
        """Handle the first of these in one transaction; how many is told by the number of endings."""
        seen = self._ask(lambda: inbox.seen_among(self.subscription.queue, [job.identity for job in jobs]), jobs[0])
        if seen is None:
            return [LEFT] * len(jobs)
        trials: list[Trial | None] = []
        try:
            self._run_all(jobs, seen, trials)
        except Exception as error:  # noqa: BLE001 - alone, each message is told its own
            return self._one_by_one(jobs[: len(trials) + 1], error)
        return [
            self._discard(job) if trial is None else self._finish(trial)
            for job, trial in zip(jobs, trials, strict=False)
        ]

    def _run_all(self, jobs: Sequence[Job], seen: set[str], trials: list[Trial | None]) -> None:
        """Run the callbacks and record their messages; ``trials`` gets an entry for each, None for those seen."""
        using = inbox.database_of(inbox.received_class())
        connection = cast("BaseDatabaseWrapper", connections[using])
        until = time.monotonic() + _LONGEST_SECONDS
        identities: set[str] = set()
        with transaction.atomic(using=using):
            for job in jobs:
                if job.identity is not None and job.identity in identities:
                    break  # Delivered twice: the next group finds what comes of this one.
                identities.update([job.identity] if job.identity is not None else [])
                trials.append(None if job.identity in seen else self._try(job, connection))
                if time.monotonic() > until or not self._shares or self._pause(0):
                    break
            kept = [trial.payload for trial in trials if trial is not None and trial.kept]
            inbox.record_all([payload.message for payload in kept if payload.deferred])

    def _try(self, job: Job, connection: BaseDatabaseWrapper) -> Trial:
        """Run one callback. Raises ``Broken``, or what the database raises, when the group cannot go on."""
        with (
            correlation.bind(job.headers.get("dop-correlation-id") or str(uuid.uuid4())),
            tracing.processing([job.headers], self.subscription.destination, self.subscription.queue) as span,
        ):
            trial = Trial(job, cast("GroupPayload", self._payload(job, GroupPayload)))
            first = len(connection.run_on_commit)
            with SpareSavepoint(connection) as savepoint:
                trial.error = self._run(trial.payload)
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
        if trial.again:
            return self._handle(trial.job)
        with correlation.bind(trial.job.headers.get("dop-correlation-id")):
            return self._conclude(trial.payload, trial.job, trial.error)

    def _one_by_one(self, jobs: Sequence[Job], error: Exception) -> list[Ending]:
        logger.warning(
            "A group of messages could not be committed together, they are handled one at a time: %s",
            describe(error),
            extra=self._about(jobs[0]),
        )
        return [self._handle(job) for job in jobs]
