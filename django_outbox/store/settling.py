"""Write down what became of claimed rows: sent, failed, or given back. Only the holder of a claim changes anything.

The publisher calls it after each batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Case, F, Subquery, Value, When

from django_outbox.choices import StatusChoice
from django_outbox.store.ordering import earlier_in_key, keyed_rows
from django_outbox.store.rows import all_rows, due_rows, held, in_seconds

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Collection, Sequence


FOLLOWS = "Parked behind the row {} of its key, which failed. Retry or remove that one first, then retry this one."


@dataclass(frozen=True, slots=True)
class Failure:
    """A send that counts against its row: ``failures`` so far, the rest in seconds (None parks the row)."""

    row_id: uuid.UUID
    failures: int
    rest: float | None
    error: str


def settle(token: uuid.UUID, ids: Collection[uuid.UUID], using: str = DEFAULT_DB_ALIAS) -> int:
    """Mark confirmed rows as SUCCEEDED and return how many still were ours; one statement, the body untouched."""
    return held(token, ids, using).update(
        status=StatusChoice.SUCCEEDED, claim_token=None, claimed_until=None, next_attempt_at=None
    )


def release(token: uuid.UUID, ids: Collection[uuid.UUID], using: str = DEFAULT_DB_ALIAS) -> int:
    """Give claimed rows back as they were, for any publisher to take at once."""
    return held(token, ids, using).update(claim_token=None, claimed_until=None)


def charge(token: uuid.UUID, failures: Sequence[Failure], using: str = DEFAULT_DB_ALIAS) -> None:
    """Write failed sends on their rows: how many, why, and when to try again or that it is given up. One statement."""
    if not failures:
        return
    parked = [failure.row_id for failure in failures if failure.rest is None]
    resting = [failure for failure in failures if failure.rest]
    held(token, [failure.row_id for failure in failures], using).update(
        retry=_case(failures, lambda failure: failure.failures, Value),
        last_error=_case(failures, lambda failure: failure.error, Value),
        # A choice between nothing but NULLs is a text to PostgreSQL.
        next_attempt_at=_case(resting, lambda failure: failure.rest, in_seconds) if resting else None,
        status=Case(When(pk__in=parked, then=Value(int(StatusChoice.FAILED))), default=F("status")),
        claim_token=None,
        claimed_until=None,
    )


def defer(token: uuid.UUID, ids: Collection[uuid.UUID], seconds: float, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give rows back to be taken again after ``seconds``, without counting a failure."""
    return held(token, ids, using).update(claim_token=None, claimed_until=None, next_attempt_at=in_seconds(seconds))


def renew(token: uuid.UUID, ids: Collection[uuid.UUID], seconds: float, using: str = DEFAULT_DB_ALIAS) -> int:
    """Hold claimed rows for ``seconds`` from now on, and return how many still were ours."""
    return held(token, ids, using).update(claimed_until=in_seconds(seconds))


def park_followers(limit: int, using: str = DEFAULT_DB_ALIAS) -> int:
    """Park up to ``limit`` rows that stand behind a parked row of their key, and return how many that were.

    Each gets an error that names the first such row. Rows that a publisher holds are left to it.
    """
    failed = all_rows(using).filter(status=StatusChoice.FAILED)
    first = earlier_in_key(using).filter(status=StatusChoice.FAILED).order_by("added", "id").values("pk")[:1]
    waiting = keyed_rows(using) | due_rows(using).filter(key__isnull=False, retry__gt=0)
    followers = (
        waiting.filter(key__in=failed.filter(key__isnull=False).values("key"))
        .annotate(behind=Subquery(first))
        .filter(behind__isnull=False)
        .values_list("pk", "behind")[:limit]
    )
    rows_by_leader: dict[uuid.UUID, list[uuid.UUID]] = {}
    for row_id, leader in followers:
        rows_by_leader.setdefault(leader, []).append(row_id)
    if not rows_by_leader:
        return 0
    errors = [When(pk__in=ids, then=Value(FOLLOWS.format(leader))) for leader, ids in rows_by_leader.items()]
    everybody = [row_id for ids in rows_by_leader.values() for row_id in ids]
    return due_rows(using).filter(pk__in=everybody).update(status=StatusChoice.FAILED, last_error=Case(*errors))


def _case(failures: Sequence[Failure], value_of: Callable[[Failure], Any], expression: Callable[[Any], Any]) -> Case:
    """Return the value for each row, as few alternatives as there are values."""
    rows_by_value: dict[Any, list[uuid.UUID]] = {}
    for failure in failures:
        rows_by_value.setdefault(value_of(failure), []).append(failure.row_id)
    return Case(*(When(pk__in=ids, then=expression(value)) for value, ids in rows_by_value.items()))
