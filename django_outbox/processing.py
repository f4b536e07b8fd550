"""What happens to one message: dedupe, callback, retries, verdict.

``Processor`` decides how a delivery ends and sends nothing; ``settlement.py`` tells the broker. So it runs the same way
in a worker thread, in ``Consumer.message_handler`` and in a test.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import Error as AnyDatabaseError
from django.db import InterfaceError, OperationalError

from django_outbox import connections, correlation, inbox, metrics, settings, tracing
from django_outbox.exceptions import CallbackVerdict, RetryLater
from django_outbox.payloads import Notebook, Payload
from django_outbox.story import Asked, Failure, as_first_received, describe, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from django_outbox.subscription import Subscription

    Answer = TypeVar("Answer")

logger = logging.getLogger("django_outbox_pattern.consumer")

# The database is away, overloaded, or asks to try again (deadlock, serialisation).
TRANSIENT = (OperationalError, InterfaceError)
_LONGEST_WAIT_FOR_DATABASE_SECONDS = 30.0


class Outcome(Enum):
    """How a delivery ends; the value is the label in the metrics."""

    ACK = "ack"
    NACK = "nack"
    DUPLICATE = "duplicate"
    ERROR = "error"
    LEFT = "left"

    @property
    def is_done(self) -> bool:
        """Tell whether the message is to be acknowledged: it had its effect, now or before."""
        return self in DONE


DONE = frozenset({Outcome.ACK, Outcome.DUPLICATE})


@dataclass(frozen=True)
class Ending:
    """How a delivery ended, and for those that did not take effect: why."""

    outcome: Outcome
    failure: Failure | None = None
    is_recorded: bool = False
    """Whether the inbox knows the message by now, so that another delivery of it changes nothing."""

    @property
    def is_failure(self) -> bool:
        """Tell whether the message had no effect and is not to be left as it is."""
        return self.outcome in (Outcome.ERROR, Outcome.NACK)


LEFT, ACK = Ending(Outcome.LEFT), Ending(Outcome.ACK)
RECORDED, DUPLICATE = Ending(Outcome.ACK, is_recorded=True), Ending(Outcome.DUPLICATE, is_recorded=True)


@dataclass(frozen=True)
class Job:
    """A message on its way through the processor."""

    body: Any
    headers: Mapping[str, Any]
    identity: str | None
    connection: Any

    @classmethod
    def of(cls, body: Any, headers: Mapping[str, Any], connection: Any = None) -> Job:
        """Make a job of a delivery as it came."""
        headers = as_first_received(headers)
        return cls(body=body, headers=headers, identity=inbox.message_identity(headers), connection=connection)

    @property
    def name(self) -> str:
        """Return what to call the message in logs."""
        return self.identity or str(self.headers.get("message-id"))

    def recorded(self) -> Ending:
        """Return how the message ends when its inbox row has been committed: one without an identity is not known."""
        return ACK if self.identity is None else RECORDED


class Processor:
    """Run the callback of a subscription, so that each message takes effect once or ends as an error.

    ``pause`` sleeps for some seconds and tells whether the worker was asked to stop meanwhile. ``report`` takes what is
    wrong with the database, None when it answers again.
    """

    def __init__(
        self,
        subscription: Subscription,
        pause: Callable[[float], bool],
        report: Callable[[str | None], None] = lambda _reason: None,
    ) -> None:
        self.subscription = subscription
        self._pause = pause
        self._report = report
        self._duration = metrics.CALLBACK_DURATION.labels(subscription.queue, subscription.callback_name)

    def process(self, body: Any, headers: Mapping[str, Any], connection: Any = None) -> Outcome:
        """Return how the delivery ended, without the reason; see ``handle``."""
        return self.handle(body, headers, connection).outcome

    def handle(self, body: Any, headers: Mapping[str, Any], connection: Any = None) -> Ending:
        """Return how the delivery ended and why. ``LEFT`` means nothing happened: it belongs back in its queue."""
        return self.handle_many([Job.of(body, headers, connection)])[0]

    @property
    def at_once(self) -> int:
        """Return how many messages a worker best takes at a time."""
        return 1

    def rounds(self, jobs: Sequence[Job]) -> Iterator[dict[int, Ending]]:
        """Handle these messages, and yield how some of them ended, by position, as soon as that is certain."""
        for position, job in enumerate(jobs):
            yield {position: self._handle(job)}

    def handle_many(self, jobs: Sequence[Job]) -> list[Ending]:
        """Return how each of these messages ended, in the order given."""
        endings: dict[int, Ending] = {}
        for some in self.rounds(jobs):
            endings.update(some)
        return [endings[position] for position in range(len(jobs))]

    def _handle(self, job: Job) -> Ending:
        with (
            correlation.bind(job.headers.get("dop-correlation-id") or str(uuid.uuid4())),
            tracing.processing([job.headers], self.subscription.destination, self.subscription.queue) as span,
        ):
            ending = self._process(job)
            span.ended(ending.outcome.value, failed=ending.is_failure)
            return ending

    def _process(self, job: Job) -> Ending:
        retries = settings.DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS
        for attempt in count(1):
            seen = self._seen(job)
            if seen is None:
                return LEFT
            if seen:
                return self._discard(job)
            try:
                return self._call(job)
            except TRANSIENT as error:
                if attempt > retries:
                    logger.exception("Message %s failed %s times", job.name, attempt, extra=self._about(job))
                    return Ending(Outcome.ERROR, Failure.of(error))
                seconds = settings.DEFAULT_CONSUMER_RETRY_WAIT * attempt
                logger.warning(
                    "Message %s: the database failed (%s), retry %s of %s in %s s",
                    *(job.name, error, attempt, retries, seconds),
                    extra=self._about(job),
                )
                if self._pause(seconds):
                    return LEFT
        raise AssertionError("count() does not end")

    def _seen(self, job: Job) -> bool | None:
        """Ask the inbox, waiting for the database if need be; None when told to stop meanwhile.

        No message is to be refused because the inbox cannot be asked, however long that takes.
        """
        return self._ask(lambda: inbox.seen(self.subscription.queue, job.identity), job)

    def _ask(self, ask: Callable[[], Answer], job: Job) -> Answer | None:
        for attempt in count():
            connections.refresh()
            try:
                answer = ask()
            except AnyDatabaseError as error:
                reason = f"the inbox cannot be read: {' '.join(str(error).split())}"
                self._report(reason)
                logger.warning("Message %s waits: %s", job.name, reason, extra=self._about(job))
                if self._pause(min(2.0**attempt, _LONGEST_WAIT_FOR_DATABASE_SECONDS)):
                    return None
            else:
                self._report(None)
                return answer
        raise AssertionError("count() does not end")

    def _call(self, job: Job) -> Ending:
        """Run the callback once. Raises the transient errors that are worth another try."""
        payload = self._payload(job, Payload, inbox.row_maker(self.subscription.queue))
        error = self._run(payload)
        if isinstance(error, TRANSIENT) and not (payload.nacked or payload.committed or payload.duplicate):
            raise error
        return self._conclude(payload, job, error)

    def _run(self, payload: Payload) -> Exception | SystemExit | None:
        """Run the callback and return what it raised."""
        started = time.perf_counter()
        try:
            self.subscription.callback(payload)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is the message's
            return error
        finally:
            self._duration.observe(time.perf_counter() - started)
        return None

    def _conclude(self, payload: Payload, job: Job, error: Exception | SystemExit | None) -> Ending:
        """Return how the message ended, once the callback's transaction has come to stay or not."""
        if error is None:
            return self._judge(payload, job)
        if isinstance(error, CallbackVerdict):
            if not payload.nacked:
                return self._obey(error, job, final=payload.committed)
            payload.reason = payload.reason or describe(error)
            return self._refused(payload)
        if payload.duplicate:
            return self._duplicate(job)
        logger.error(
            "An exception has been caught during callback processing flow", exc_info=error, extra=self._about(job)
        )
        if payload.nacked:
            return self._refused(payload)
        # What was committed is not done again: another try would be taken for a duplicate.
        return Ending(Outcome.ERROR, Failure.of(error, final=payload.committed, asked=payload.asked))

    def _payload(self, job: Job, kind: type[Payload], rows: inbox.RowMaker) -> Payload:
        body = decode(job.body)
        message = rows.new(job.identity, body, job.headers)
        return kind(Notebook(job.connection), body, job.headers, message)

    def _obey(self, verdict: CallbackVerdict, job: Job, *, final: bool = False) -> Ending:
        """Do what the callback asked for by raising."""
        logger.info("Message %s: %s", job.name, describe(verdict), extra=self._about(job))
        if isinstance(verdict, RetryLater):
            asked = Asked(verdict.after, verdict.limit)
            return Ending(Outcome.ERROR, Failure.of(verdict, final=final, asked=asked))
        return Ending(Outcome.NACK, Failure.of(verdict, final=True))

    def _judge(self, payload: Payload, job: Job) -> Ending:
        """Decide by what the callback asked for and what its transaction came to."""
        if payload.nacked:
            return self._refused(payload)
        if payload.duplicate:
            return self._duplicate(job)
        if payload.committed:
            return job.recorded()
        if payload.saved and self._visible(payload):
            return ACK
        return self._judge_unsaved(payload, job)

    def _judge_unsaved(self, payload: Payload, job: Job) -> Ending:
        if payload.asked:
            return self._failed(payload.reason or "the callback asked for another try", asked=payload.asked)
        if payload.saved:
            logger.error("Message %s: its transaction was rolled back after save()", job.name, extra=self._about(job))
            return self._failed("the transaction was rolled back after save()")
        if payload.acked:
            return ACK
        logger.warning(
            "The save or nack command was not executed, and the routine finished running without receiving an "
            "acknowledgement or a negative acknowledgement. message-id: %s",
            job.headers.get("message-id"),
            extra=self._about(job),
        )
        return self._failed("the callback returned without save(), nack() or retry()")

    def _refused(self, payload: Payload) -> Ending:
        reason = payload.reason or "refused by the callback"
        return Ending(Outcome.NACK, self._failure(reason, final=True))

    def _failed(self, error: str, asked: Asked | None = None) -> Ending:
        return Ending(Outcome.ERROR, self._failure(error, asked=asked))

    def _failure(self, error: str, *, final: bool = False, asked: Asked | None = None) -> Failure:
        """Describe a failure that is not an exception; its place is the callback."""
        return Failure(one_line(error), one_line(f"{error}@{self.subscription.callback_name}")[:200], final, asked)

    def _visible(self, payload: Payload) -> bool:
        """Tell whether the row is there for a caller whose own transaction is still open, as a test's is."""
        return inbox.caller_holds_transaction() and inbox.is_written(payload.message)

    def _duplicate(self, job: Job) -> Ending:
        """Confirm that the delivery that was quicker has really left its row."""
        seen = self._seen(job)
        if seen is None:
            return LEFT
        if seen:
            return self._discard(job)
        logger.error("Message %s: its inbox row cannot be written", job.name, extra=self._about(job))
        return self._failed("the inbox row cannot be written")

    def _discard(self, job: Job) -> Ending:
        logger.info("Message with msg_id: %s already exists. discarding the message", job.name, extra=self._about(job))
        return DUPLICATE

    def _about(self, job: Job) -> dict[str, Any]:
        """Return the structured fields of a log record; never the body."""
        return {
            "queue": self.subscription.queue,
            "destination": self.subscription.destination,
            "msg_id": job.identity,
            "delivery_id": job.headers.get("message-id"),
            "correlation_id": correlation.current(),
        }


def decode(body: Any) -> Any:
    """Return the body as the callback gets it: what the JSON says, the raw text when it is none."""
    try:
        return json.loads(body)
    except (ValueError, TypeError, RecursionError):
        logger.warning("A message's body is not JSON; the callback gets it as it came")
        return body
