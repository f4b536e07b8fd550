"""The message as a callback sees it.

A callback must end in ``save()``, ``nack()`` or ``retry()``. In a running subscriber the connection of a payload only
takes notes: the consumer settles the message when the callback has returned and its transaction has committed. A
payload made by hand acts on the connection it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Model

from django_outbox import inbox
from django_outbox.choices import StatusChoice
from django_outbox.compiled import saves_plainly
from django_outbox.exceptions import DuplicateMessage
from django_outbox.story import Asked, attempts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Payload:
    """One delivery of a message: its ``body`` (JSON decoded), its ``headers``, and how it is to end.

    ``message`` is the inbox row that ``save()`` writes. ``saved``, ``acked``, ``nacked`` and ``asked`` tell what was
    asked for, ``reason`` why, ``committed`` whether the transaction of the save has come to stay.
    """

    def __init__(self, connection: Any, body: Any, headers: Mapping[str, Any], message: Any = None) -> None:
        self.connection = connection
        self.body = body
        self.headers = headers
        self.message = message
        self.saved = False
        self.acked: bool | None = None
        self.nacked: bool | None = None
        self.asked: Asked | None = None
        self.reason: str | None = None
        self.committed = False
        self.duplicate = False

    @property
    def attempt(self) -> int:
        """Return which try this is, from 1 on; deliveries cut short by a crash or a lost connection do not count."""
        return attempts_of(self.headers) + 1

    def save(self) -> None:
        """Record the message as handled, in the transaction that is open.

        The message is acknowledged only if that transaction commits. Raises ``DuplicateMessage`` when another delivery
        of the message was handled meanwhile: let it pass, so that this transaction is rolled back.
        """
        if self.message is None:
            raise ValueError("This payload has no message to save: give Payload(..., message=Received(...)).")
        self.message.status = StatusChoice.SUCCEEDED
        if not isinstance(self.message, Model):
            self.message.save()
            self.saved = self.committed = True
            return
        try:
            inbox.record(self.message)
        except DuplicateMessage:
            self.duplicate = True
            raise
        self.saved = True
        transaction.on_commit(self._mark_committed, using=inbox.database_of(self.message))

    def ack(self) -> None:
        """Remove the message from the broker as done; the first of ``ack``, ``nack`` and ``retry`` counts."""
        if not self._is_decided:
            self.connection.ack(self._ack_id)
            self.acked = True

    def nack(self, reason: str | None = None) -> None:
        """Refuse the message: it goes to the dead letter queue, with the reason in its ``dop-error`` header.

        The first of ``ack``, ``nack`` and ``retry`` counts.
        """
        if not self._is_decided:
            self.connection.nack(self._ack_id, requeue=False)
            self.nacked = True
            self.reason = reason

    def retry(self, after: float | None = None, reason: str | None = None, *, limit: int | None = None) -> None:
        """Ask for another try ``after`` seconds, by default after the next of ``CONSUMER_RETRY_DELAYS``.

        ``limit`` is how often the message may fail in all before it goes to the dead letters, 100 by default. The
        transaction must not have saved: raise ``RetryLater`` where it has to be rolled back. The first of ``ack``,
        ``nack`` and ``retry`` counts. Only a running subscriber can do it: a payload made by hand takes a note.
        """
        if not self._is_decided:
            self.asked = Asked(after, limit)
            self.reason = reason

    @property
    def _is_decided(self) -> bool:
        return bool(self.acked or self.nacked or self.asked)

    @property
    def _ack_id(self) -> Any:
        # STOMP 1.2 settles by the frame's "ack" header; RabbitMQ gives both headers the same value, others do not.
        return self.headers.get("ack", self.headers.get("message-id"))

    def _mark_committed(self) -> None:
        self.committed = True


class GroupPayload(Payload):
    """One of several messages that share a transaction: their rows are written together at its end.

    ``save`` only takes note, and the note goes with the callback's own transaction if that is rolled back. A row that
    somebody else has to do with, by signals or a ``save`` of its own, is written at once. ``protect`` is called before
    a note is taken: what the callback does from then on must be undone with it.
    """

    protect: Callable[[], None] | None = None
    deferred = False

    def save(self) -> None:
        """Record the message as handled, at the end of the transaction that is open."""
        if not isinstance(self.message, Model) or self.message.pk is None or not saves_plainly(type(self.message)):
            super().save()
            return
        if self.protect is not None:
            self.protect()
        self.message.status = StatusChoice.SUCCEEDED  # type: ignore[attr-defined]
        self.saved = self.deferred = True
        transaction.on_commit(self._mark_committed, using=inbox.database_of(self.message))

    def is_told_by(self, hook: Callable[[], object]) -> bool:
        """Tell whether a hook of the open transaction is there because of a save that is still in it."""
        return hook == self._mark_committed


class BatchPayload(Payload):
    """One of the messages of a batch: the consumer saves those that are not refused, put off or acknowledged."""

    def save(self) -> None:
        """Ask for what happens anyway: the message is recorded as handled when the callback has returned."""
        self.saved = True

    @property
    def is_decided(self) -> bool:
        """Tell whether the callback decided otherwise than to have the message recorded as handled."""
        return self._is_decided


class Notebook:
    """What a payload of a running subscriber has for a connection: it sends nothing.

    The payload itself remembers what was asked for; all else that a callback looks for is the real connection's.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def ack(self, *_args: Any, **_kwargs: Any) -> None:
        """Send nothing; the consumer acknowledges after the callback."""

    def nack(self, *_args: Any, **_kwargs: Any) -> None:
        """Send nothing; the consumer refuses after the callback."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
