"""What people ask of both tables, beside what the workers do: look, put back, park, estimate.

Used by ``manage.py outbox`` and by the admin. The workers' own statements are in ``store.py`` and ``inbox.py``. Here,
too, statements are bounded: rows are changed some hundred at a time, each batch a transaction of its own, and a table
is never counted as a whole. A row that a publisher holds by a claim is left to that publisher.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router
from django.db.models import Count, Min, Q, QuerySet, Value

from django_outbox.choices import StatusChoice
from django_outbox.outbox import published_model
from django_outbox.store import DatabaseNow

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterator

    from django_outbox.models import Published

BATCH = 500
# An expired row that is put back is not at once what an audit lists; publishers of ours never ask for it.
_NEW_LIFE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of the rows that were given up are meant: all that fit every criterion.

    ``failed`` are those parked as FAILED; ``expired`` those that wait with ``expires_at`` in the past, as
    django-outbox-pattern leaves them behind. ``older_than`` is in seconds, ``error`` a part of the error's text.
    """

    ids: tuple[uuid.UUID, ...] = ()
    destination: str | None = None
    older_than: float | None = None
    error: str | None = None
    failed: bool = True
    expired: bool = True


@dataclass(frozen=True, slots=True)
class Concern:
    """Rows that somebody should look at: how many, the oldest, and some of them by name."""

    name: str
    count: int
    oldest: datetime | None
    examples: tuple[uuid.UUID, ...]


@dataclass(frozen=True, slots=True)
class InHand:
    """Unsent rows that do not simply wait for their turn: those that a publisher holds, and those at rest."""

    claimed: int
    resting: int


@dataclass(frozen=True, slots=True)
class BlockedKey:
    """Rows of one ordering key that wait behind one of their own that failed."""

    key: str
    waiting: int
    oldest: datetime | None


def database_of_outbox() -> str:
    """Return the alias of the database that messages are written to."""
    return router.db_for_write(published_model())


def database_now(using: str) -> datetime | None:
    """Return the database's clock, None when the outbox has no row to ask it with."""
    row = _rows(using).annotate(clock=DatabaseNow()).values_list("clock", flat=True)[:1]
    return next(iter(row), None)


def select(wanted: Selection, using: str) -> QuerySet[Published]:
    """Return the rows that were given up and fit; those that a publisher holds are none of them."""
    given_up = Q(pk__in=[])
    if wanted.failed:
        given_up |= Q(status=StatusChoice.FAILED)
    if wanted.expired:
        given_up |= _expired()
    rows = _rows(using).filter(given_up)
    if wanted.ids:
        rows = rows.filter(pk__in=wanted.ids)
    if wanted.destination is not None:
        rows = rows.filter(destination=wanted.destination)
    if wanted.older_than is not None:
        rows = rows.filter(added__lt=_from_now(-timedelta(seconds=wanted.older_than)))
    if wanted.error is not None:
        rows = rows.filter(last_error__icontains=wanted.error)
    return rows


def put_back(rows: QuerySet[Published], limit: int) -> Iterator[int]:
    """Let up to ``limit`` of these rows be sent anew, their failures forgotten; yield how many each batch changed.

    ``rows`` must no longer match once they wait and have not expired, as those of ``select`` do. The limit also keeps
    this from going round with rows that fail again meanwhile.
    """
    changes: dict[str, Any] = {
        "status": StatusChoice.SCHEDULE,
        "retry": 0,
        "last_error": None,
        "expires_at": _from_now(_NEW_LIFE),
        **_NO_NOTES,
    }
    return _change(rows, changes, limit)


def park(rows: QuerySet[Published], note: str, limit: int) -> Iterator[int]:
    """Mark up to ``limit`` waiting rows as FAILED with a note, so that nothing sends them; yield as ``put_back``."""
    waiting = rows.filter(_unclaimed(), status=StatusChoice.SCHEDULE)
    return _change(waiting, {"status": StatusChoice.FAILED, "last_error": note, **_NO_NOTES}, limit)


def replayable(rows: QuerySet[Published]) -> QuerySet[Published]:
    """Narrow rows to those that ``put_back`` may have."""
    return rows.filter(Q(status=StatusChoice.FAILED) | _expired())


def audit(using: str, examples: int = 5) -> list[Concern]:
    """Return what was left behind, in any case one entry for each kind.

    ``expired``: waits, its ``expires_at`` in the past: django-outbox-pattern never sends it. ``failed``: parked.
    ``headerless``: waits with empty headers, so without the id by which consumers know it again.
    ``lapsed``: a publisher took it, and died or stood still past its lease.
    """
    waiting = Q(status=StatusChoice.SCHEDULE)
    kinds = {
        "expired": _expired(),
        "failed": Q(status=StatusChoice.FAILED),
        "headerless": waiting & Q(headers={}),
        "lapsed": waiting & Q(claimed_until__lte=DatabaseNow()),
    }
    return [_concern(name, _rows(using).filter(condition), examples) for name, condition in kinds.items()]


def in_hand(using: str) -> InHand:
    """Count what a publisher holds and what rests before another attempt; one statement over the unsent rows."""
    now = DatabaseNow()
    counted = (
        _rows(using)
        .filter(status=StatusChoice.SCHEDULE)
        .aggregate(
            claimed=Count("pk", filter=Q(claimed_until__gt=now)), resting=Count("pk", filter=Q(next_attempt_at__gt=now))
        )
    )
    return InHand(claimed=counted["claimed"], resting=counted["resting"])


def blocked_keys(using: str, limit: int = 20) -> list[BlockedKey]:
    """Return the keys of which a row failed or rests while others of the key wait; none where rows have no key."""
    model = published_model()
    if not has_field(model, "key"):
        return []
    waiting = Q(status=StatusChoice.SCHEDULE)
    blocker = Q(status=StatusChoice.FAILED) | (waiting & Q(next_attempt_at__gt=DatabaseNow()))
    rows: QuerySet[Any] = _rows(using)
    keys = (
        rows.filter(waiting | Q(status=StatusChoice.FAILED), Q(("key__isnull", False)))
        .order_by()
        .values("key")
        .annotate(stuck=Count("pk", filter=blocker), all=Count("pk"), oldest=Min("added"))
        .filter(stuck__gt=0, all__gt=models.F("stuck"))
        .order_by("oldest")[:limit]
    )
    return [BlockedKey(row["key"], row["all"] - row["stuck"], row["oldest"]) for row in keys]


def estimated_rows(model: type[models.Model], using: str) -> int | None:
    """Return about how many rows a table has, without counting them; None where the database cannot say."""
    connection, table = connections[using], model._meta.db_table
    statement = _ESTIMATES.get(connection.vendor)
    if statement is None:
        return None
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(statement.format(table=connection.ops.quote_name(table)))
        else:
            cursor.execute(statement, [table])
        row = cursor.fetchone()
    # PostgreSQL says -1 of a table that was never analysed.
    return None if row is None or row[0] is None or row[0] < 0 else int(row[0])


def count_up_to(rows: QuerySet[Any], bound: int) -> int:
    """Count rows, but no further than ``bound``."""
    return rows.order_by().values("pk")[:bound].count()


def finished(model: type[models.Model], before: datetime, using: str) -> QuerySet[Any]:
    """Return the rows of either table that retention may remove."""
    return model._base_manager.using(using).filter(status=StatusChoice.SUCCEEDED, added__lt=before)


def has_field(model: type[models.Model], name: str) -> bool:
    """Tell whether a model, maybe the project's own, has a field."""
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True


_NO_NOTES = {"next_attempt_at": None, "claim_token": None, "claimed_until": None}

_ESTIMATES = {
    "postgresql": "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(quote_ident(%s))",
    "mysql": "SELECT table_rows FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
    # The ends of the tree: two look-ups. Rows that were removed in between are counted as well.
    "sqlite": "SELECT coalesce((SELECT max(rowid) FROM {table}) - (SELECT min(rowid) FROM {table}) + 1, 0)",
}


def _rows(using: str) -> QuerySet[Published]:
    return published_model()._base_manager.using(using)


def _expired() -> Q:
    return _unclaimed() & Q(status=StatusChoice.SCHEDULE, expires_at__lt=DatabaseNow())


def _unclaimed() -> Q:
    return Q(claimed_until__isnull=True) | Q(claimed_until__lte=DatabaseNow())


def _from_now(delta: timedelta) -> models.expressions.CombinedExpression:
    return DatabaseNow() + Value(delta, output_field=models.DurationField())


def _concern(name: str, rows: QuerySet[Published], examples: int) -> Concern:
    counted = rows.aggregate(count=Count("pk"), oldest=Min("added"))
    some = tuple(rows.order_by("added").values_list("pk", flat=True)[:examples]) if counted["count"] else ()
    return Concern(name, counted["count"], counted["oldest"], some)


def _change(rows: QuerySet[Published], changes: dict[str, Any], limit: int) -> Iterator[int]:
    left = limit
    while left > 0:
        # The ids first: MySQL knows no LIMIT in an UPDATE's subquery, and a plain list keeps the locks to these rows.
        ids = list(rows.order_by().values_list("pk", flat=True)[: min(BATCH, left)])
        if not ids:
            return
        left -= len(ids)
        # Asked again: a publisher may have taken one meanwhile.
        yield rows.order_by().filter(pk__in=ids).update(**changes)
