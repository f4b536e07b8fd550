"""Every query on the outbox table.

The rule that keeps publishers apart: a row is claimed by writing a token and a time limit on it, and from then on only
a statement that names the token may settle it. Whoever slept past the limit and lost its claim changes nothing. All
times are the database's own. Claims are short transactions; nothing here waits for the network.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.models import Count, Min, Q, QuerySet, Value
from django.db.models.functions import Now

from django_outbox.choices import StatusChoice
from django_outbox.outbox import published_model

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    from django_outbox.models import Published

NOTES = ("next_attempt_at", "claim_token", "claimed_until", "last_error")


class DatabaseNow(Now):
    """The database's clock, in the zone that Django stores times in."""

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Ask for UTC where times are stored as UTC: the session's zone may be any."""
        template = "UTC_TIMESTAMP(6)" if django_settings.USE_TZ else "CURRENT_TIMESTAMP(6)"
        return self.as_sql(compiler, connection, template=template, **context)


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row as the publisher needs it."""

    id: uuid.UUID
    destination: str
    body: Any
    headers: dict[str, Any]
    added: datetime
    retry: int


@dataclass(frozen=True, slots=True)
class Claim:
    """The rows that ``token`` holds, in the order they were written."""

    token: uuid.UUID
    rows: tuple[ClaimedRow, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A send that counts against its row: ``failures`` so far, the rest in seconds (None parks the row)."""

    row_id: uuid.UUID
    failures: int
    rest: float | None
    error: str


@dataclass(frozen=True, slots=True)
class DestinationBacklog:
    """What has not been sent to one destination."""

    destination: str
    pending: int
    failed: int
    oldest_pending: datetime | None


def schema_problem(using: str = DEFAULT_DB_ALIAS) -> str | None:
    """Return why this database cannot hold our rows and what to do, None when it can."""
    model, connection = published_model(), connections[using]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return f"The database {using!r} has no table {table!r}. Run: manage.py migrate --database {using}"
        present = {column.name for column in connection.introspection.get_table_description(cursor, table)}
    missing = [name for name in NOTES if name not in present]
    if missing:
        return (
            f"The table {table!r} of the database {using!r} has no column {', '.join(missing)}."
            f" Run: manage.py migrate --database {using}"
        )
    return None


def anything_due(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Tell whether a row waits to be sent: the one statement that an idle publisher costs."""
    return _due(using).exists()


def claim(limit: int, lease_seconds: float, using: str = DEFAULT_DB_ALIAS, *, failed_before: bool = False) -> Claim:
    """Take up to ``limit`` due rows for ``lease_seconds``, oldest first; what another publisher holds is passed by.

    Rows that have failed before are claimed apart from the others, so that however many there are, nobody waits for
    them.
    """
    token = uuid.uuid4()
    due = _due(using).filter(retry__gt=0) if failed_before else _due(using).filter(retry=0)
    if connections[using].features.has_select_for_update:
        return _claim_by_locking(token, due, limit, lease_seconds)
    return _claim_by_writing(token, due, limit, lease_seconds)


def settle(token: uuid.UUID, ids: Collection[uuid.UUID], using: str = DEFAULT_DB_ALIAS) -> int:
    """Mark confirmed rows as SUCCEEDED and return how many still were ours; one statement, the body untouched."""
    return _held(token, ids, using).update(
        status=StatusChoice.SUCCEEDED, claim_token=None, claimed_until=None, next_attempt_at=None
    )


def release(token: uuid.UUID, ids: Collection[uuid.UUID], using: str = DEFAULT_DB_ALIAS) -> int:
    """Give claimed rows back as they were, for any publisher to take at once."""
    return _held(token, ids, using).update(claim_token=None, claimed_until=None)


def charge(token: uuid.UUID, failures: Sequence[Failure], using: str = DEFAULT_DB_ALIAS) -> None:
    """Write failed sends on their rows: how many, why, and when to try again or that it is given up."""
    for failure in failures:
        changes: dict[str, Any] = {
            "retry": failure.failures,
            "last_error": failure.error,
            "claim_token": None,
            "claimed_until": None,
            "next_attempt_at": None,
        }
        if failure.rest is None:
            changes["status"] = StatusChoice.FAILED
        elif failure.rest > 0:
            changes["next_attempt_at"] = _in(failure.rest)
        _held(token, [failure.row_id], using).update(**changes)


def defer(token: uuid.UUID, ids: Collection[uuid.UUID], seconds: float, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give rows back to be taken again after ``seconds``, without counting a failure."""
    return _held(token, ids, using).update(claim_token=None, claimed_until=None, next_attempt_at=_in(seconds))


def backlog(using: str = DEFAULT_DB_ALIAS) -> list[DestinationBacklog]:
    """Return what is not sent yet, by destination: two counts over the index of states, none over finished rows."""
    waiting, failed = Q(status=StatusChoice.SCHEDULE), Q(status=StatusChoice.FAILED)
    counted = (
        _rows(using)
        .filter(waiting | failed)
        .order_by()
        .values("destination")
        .annotate(
            waiting=Count("pk", filter=waiting), parked=Count("pk", filter=failed), oldest=Min("added", filter=waiting)
        )
    )
    return [
        DestinationBacklog(
            destination=row["destination"], pending=row["waiting"], failed=row["parked"], oldest_pending=row["oldest"]
        )
        for row in counted
    ]


def remove_finished(model: type[models.Model], before: datetime, limit: int, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete up to ``limit`` rows of either table that succeeded and were added before ``before``; return how many."""
    rows = model._base_manager.using(using)
    finished = rows.filter(status=StatusChoice.SUCCEEDED, added__lt=before).order_by("added")
    # The ids first: MySQL knows no LIMIT in a subquery of DELETE, and a plain list keeps the locks to these rows.
    chosen = list(finished.values_list("pk", flat=True)[:limit])
    return rows.filter(pk__in=chosen).delete()[0] if chosen else 0


def _claim_by_locking(token: uuid.UUID, due: QuerySet[Published], limit: int, lease_seconds: float) -> Claim:
    using = due.db
    skip_locked = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        rows = _read(due.order_by("added", "id").select_for_update(skip_locked=skip_locked)[:limit])
        if rows:
            chosen = _rows(using).filter(pk__in=[row.id for row in rows])
            chosen.update(claim_token=token, claimed_until=_in(lease_seconds))
    return Claim(token, rows)


def _claim_by_writing(token: uuid.UUID, due: QuerySet[Published], limit: int, lease_seconds: float) -> Claim:
    """Claim where rows cannot be locked (SQLite): the statement that writes the token is the lock."""
    # Looked for first, so that an idle publisher does not take the database's only write lock.
    if not due.exists():
        return Claim(token, ())
    chosen = due.order_by("added", "id").values("pk")[:limit]
    _rows(due.db).filter(pk__in=chosen).update(claim_token=token, claimed_until=_in(lease_seconds))
    return Claim(token, _read(_rows(due.db).filter(claim_token=token).order_by("added", "id")))


def _rows(using: str) -> QuerySet[Published]:
    return published_model()._base_manager.using(using)


def _due(using: str) -> QuerySet[Published]:
    """Return the rows to send now. ``expires_at`` is not asked: a row that waited long still has to arrive."""
    now = DatabaseNow()
    return _rows(using).filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now),
        Q(claimed_until__isnull=True) | Q(claimed_until__lte=now),
        status=StatusChoice.SCHEDULE,
    )


def _held(token: uuid.UUID, ids: Collection[uuid.UUID], using: str) -> QuerySet[Published]:
    return _rows(using).filter(pk__in=list(ids), claim_token=token, status=StatusChoice.SCHEDULE)


def _in(seconds: float) -> models.expressions.CombinedExpression:
    return DatabaseNow() + Value(timedelta(seconds=seconds), output_field=models.DurationField())


def _read(rows: QuerySet[Published]) -> tuple[ClaimedRow, ...]:
    columns = ("pk", "destination", "body", "headers", "added", "retry")
    return tuple(ClaimedRow(*values) for values in rows.values_list(*columns))
