"""What the queries of the outbox table are made of: the rows, the database's clock, and who may touch what.

Used by the other modules of this package.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.db import models
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Now
from django.db.models.lookups import In

from django_outbox.choices import StatusChoice
from django_outbox.outbox import published_model
from django_outbox.wellformed import Unreadable

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection
    from datetime import datetime

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    from django_outbox.models import Published


class DatabaseNow(Now):
    """The database's clock, in the zone that Django stores times in."""

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> Any:
        """Ask for UTC where times are stored as UTC: the session's zone may be any."""
        template = "UTC_TIMESTAMP(6)" if django_settings.USE_TZ else "CURRENT_TIMESTAMP(6)"
        return self.as_sql(compiler, connection, template=template, **context)


COLUMNS = ("id", "destination", "body", "headers", "added", "retry", "key")
DOCUMENTS = ("body", "headers")


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """A row as the publisher needs it; ``added`` in seconds since 1970, ``body`` may be text that is JSON already."""

    id: uuid.UUID
    destination: str
    body: Any
    headers: dict[str, Any]
    added: float
    retry: int
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The rows that ``token`` holds, in the order they were written."""

    token: uuid.UUID
    rows: tuple[ClaimedRow, ...]


class AnyOf(In):
    """``IN`` for a list of ids, as one array where the database has arrays: no statement with hundreds of parts."""

    def get_prep_lookup(self) -> Any:
        """Return the ids as they are: they came out of the database."""
        return self.rhs

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Compare with any element of an array."""
        column, values = self.process_lhs(compiler, connection)
        return f"{column} = ANY(%s)", [*values, list(self.rhs)]


def all_rows(using: str) -> QuerySet[Published]:
    """Return every row, past any manager of the project's own."""
    return published_model()._base_manager.using(using)


def due_rows(using: str) -> QuerySet[Published]:
    """Return the rows to send now. ``expires_at`` is not asked: a row that waited long still has to arrive."""
    now = DatabaseNow()
    return all_rows(using).filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now),
        Q(claimed_until__isnull=True) | Q(claimed_until__lte=now),
        status=StatusChoice.SCHEDULE,
    )


def held(token: uuid.UUID, ids: Collection[uuid.UUID], using: str) -> QuerySet[Published]:
    """Return those rows of ``ids`` that the claim ``token`` still holds."""
    return all_rows(using).filter(AnyOf(F("pk"), list(ids)), claim_token=token, status=StatusChoice.SCHEDULE)


def in_seconds(seconds: float) -> models.expressions.CombinedExpression:
    """Return the time ``seconds`` from now, on the database's clock."""
    return DatabaseNow() + Value(timedelta(seconds=seconds), output_field=models.DurationField())


def read(found: QuerySet[Published]) -> tuple[ClaimedRow, ...]:
    """Fetch rows with what the publisher needs of them; what Python cannot read of one comes as ``Unreadable``."""
    try:
        return tuple(_claimed(*values) for values in found.values_list(*COLUMNS))
    except (ValueError, RecursionError):
        # Databases hold deeper documents and longer numbers than Python reads. One such row must not hide the others.
        return _read_apart(found)


def _read_apart(found: QuerySet[Published]) -> tuple[ClaimedRow, ...]:
    """Fetch rows with their documents one by one."""
    rows = []
    for values in found.values(*(name for name in COLUMNS if name not in DOCUMENTS)):
        documents = {name: _document(found.db, values["id"], name) for name in DOCUMENTS}
        rows.append(_claimed(*({**values, **documents}[name] for name in COLUMNS)))
    return tuple(rows)


def _claimed(row_id: uuid.UUID, destination: str, body: Any, headers: Any, added: datetime, *rest: Any) -> ClaimedRow:
    return ClaimedRow(row_id, destination, body, headers, added.timestamp(), *rest)


def _document(using: str, pk: uuid.UUID, column: str) -> Any:
    try:
        return all_rows(using).filter(pk=pk).values_list(column, flat=True).first()
    except (ValueError, RecursionError) as error:
        return unreadable(column, error)


def unreadable(column: str, error: Exception) -> Unreadable:
    """Return what stands for a document that Python cannot read: deeper, or with longer numbers, than it takes."""
    return Unreadable(f"the row's {column} cannot be read: {error}")
