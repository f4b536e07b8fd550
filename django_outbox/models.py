"""The two tables: messages waiting to be sent or sent (outbox), and messages already handled (inbox).

Names of tables, columns and indexes are those of django-outbox-pattern, so its databases are ours. What is done with
the rows is in ``store``; here is only what makes a row right when it is written.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import models, router, transaction
from django.utils import timezone

from django_outbox import compiled, copying, instances, wellformed
from django_outbox.choices import StatusChoice
from django_outbox.completing import Completion
from django_outbox.ids import uuid7
from django_outbox.wakeup import notify_after_commit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What says nothing about a new row but where it goes.
_PLAIN_OPTIONS = frozenset({"force_insert", "using"})
ID_HELP = "Sorts by the time the row was made; older rows have random ids"


def _one_more_day() -> datetime:
    """Return the default of ``expires_at``; migration 0001 names this function."""
    return timezone.now() + timedelta(days=1)


class PublishedQuerySet(models.QuerySet["Published"]):
    """Completes the rows that are written without ``save()``."""

    def bulk_create(self, objs: Iterable[Published], *args: Any, **kwargs: Any) -> list[Published]:
        """Write many messages at once, each with its id, headers and versioned destination, like ``save()`` does.

        Takes what Django's takes; without any of that, fifty rows or more go to PostgreSQL by COPY.
        """
        messages = list(objs)
        self._for_write = True
        completion = Completion(self.db)
        for message in messages:
            completion.complete(message)
        if args or any(kwargs.values()) or not self._are_written(messages):
            messages = super().bulk_create(messages, *args, **kwargs)
        if messages:
            notify_after_commit(self.db)
        return messages

    def _are_written(self, messages: list[Published]) -> bool:
        """Write the rows in the quickest way; False when only Django's own ``bulk_create`` can do it."""
        model = self.model
        if not messages or any(type(message) is not model or message.pk is None for message in messages):
            return False
        with transaction.atomic(using=self.db, savepoint=False):
            return copying.copy(messages, self.db) or compiled.insert(messages, self.db)


class Published(models.Model):
    """A message in the outbox.

    ``destination`` is where it goes, ``version`` is appended to that with a dot, ``body`` is anything JSON can say.
    Messages of one ``key`` are sent in the order they were written in. ``retry`` counts failed sends. ``expires_at`` is
    kept for those who read it and hides nothing from the publisher.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, unique=True, editable=False, help_text=ID_HELP)
    version = models.CharField(max_length=100, null=True, blank=True)
    destination = models.CharField(max_length=255)
    body = models.JSONField()
    added = models.DateTimeField(auto_now_add=True, db_index=True)
    expires_at = models.DateTimeField(default=_one_more_day)
    retry = models.PositiveIntegerField(default=0)
    status = models.IntegerField(choices=StatusChoice.choices, default=StatusChoice.SCHEDULE)
    headers = models.JSONField(default=dict, blank=True)
    key = models.CharField(max_length=wellformed.MAX_KEY, null=True, blank=True)
    # Below: the publisher's own notes, on the database's clock.
    next_attempt_at = models.DateTimeField(null=True, blank=True, editable=False)
    claim_token = models.UUIDField(null=True, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.TextField(null=True, blank=True, editable=False)

    objects: ClassVar[models.Manager[Published]] = models.Manager.from_queryset(PublishedQuerySet)()

    _completed_destination: str | None = None

    class Meta:
        verbose_name = "published"
        db_table = "published"
        indexes = [
            models.Index(fields=["status"], name="published_status_27c9ec_btree"),
            # One column: with two, PostgreSQL thinks the index of all rows the cheaper way to the oldest. Two indexes:
            # who looks for rows without a key does not walk over all that wait for their turn in one.
            models.Index(
                fields=["added"], name="published_unkeyed_due_idx", condition=models.Q(status=1, key__isnull=True)
            ),
            models.Index(
                fields=["added"], name="published_keyed_due_idx", condition=models.Q(status=1, key__isnull=False)
            ),
            # Few, and asked for at each look: not to be searched for among all that wait.
            models.Index(fields=["added"], name="published_troubled_idx", condition=models.Q(status=1, retry__gt=0)),
            # What stands before a row in its key. Below 2 is everything that is not sent.
            models.Index(
                fields=["key", "status", "added"],
                name="published_key_idx",
                condition=models.Q(status__lt=2, key__isnull=False),
            ),
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        is_plain = not args and super().__init__.__func__ is models.Model.__init__  # type: ignore[attr-defined]
        if not (is_plain and instances.fill(self, kwargs)):
            super().__init__(*args, **kwargs)

    def __str__(self) -> str:
        return f"{self.destination} - {self.body}"

    def __repr__(self) -> str:
        # Without the body, which Django would take from __str__: what goes wrong with a row is logged by its repr.
        return f"<{type(self).__name__}: {self.pk} to {self.destination}>"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the row; a new one is completed first, a later save leaves headers and destination as they are."""
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        self.complete(using)
        is_new = self._state.adding
        if args or not is_new or not self._is_inserted(using, kwargs):
            super().save(*args, **kwargs)
        if is_new and self._state.db is not None:
            notify_after_commit(self._state.db)

    def _is_inserted(self, using: str, options: Mapping[str, Any]) -> bool:
        """Insert the row with a statement that is kept; False when only Django's own ``save()`` can do it."""
        model = type(self)
        is_plain = options.keys() <= _PLAIN_OPTIONS and super().save.__func__ is models.Model.save  # type: ignore[attr-defined]
        return is_plain and compiled.is_unheard(model) and compiled.insert([self], using)

    def complete(self, using: str | None = None) -> None:
        """Append the version to the destination and make the headers, once for a row that is not written yet.

        Raises ``InvalidMessage`` for what the database ``using`` or a broker could not hold.
        """
        if self._state.adding:
            Completion(using or router.db_for_write(type(self), instance=self)).complete(self)


class Received(models.Model):
    """A message in the inbox: proof that ``consumer`` (a queue) handled the message ``msg_id``.

    Rows without a consumer were written by django-outbox-pattern and count as handled for every consumer.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, unique=True, editable=False, help_text=ID_HELP)
    msg_id = models.CharField(max_length=100, null=True)
    consumer = models.CharField(max_length=255, null=True, editable=False)
    headers = models.JSONField(null=True)
    body = models.JSONField(null=True)
    added = models.DateTimeField(auto_now_add=True, db_index=True)
    expires_at = models.DateTimeField(default=_one_more_day)
    retry = models.PositiveIntegerField(default=0)
    status = models.IntegerField(choices=StatusChoice.choices, default=StatusChoice.SUCCEEDED)

    class Meta:
        verbose_name = "received"
        db_table = "received"
        constraints = [
            # The message first: every look-up has its id, those of older workers nothing else.
            models.UniqueConstraint(fields=["msg_id", "consumer"], name="received_msg_consumer_uniq"),
            # What guarded those workers before goes on guarding them during a rolling upgrade.
            models.UniqueConstraint(
                fields=["msg_id"], condition=models.Q(consumer__isnull=True), name="received_msg_legacy_uniq"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.destination} - {self.body}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.msg_id} of {self.consumer}>"

    @property
    def destination(self) -> str:
        """Where the message was sent to, empty when it does not say."""
        return str((self.headers or {}).get("destination", ""))
