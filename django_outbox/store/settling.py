"""Write down what became of claimed rows: sent, failed, or given back. Only the holder of a claim changes anything.

The publisher calls it after each batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS

from django_outbox.choices import StatusChoice
from django_outbox.store.rows import held, in_seconds

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Sequence


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
            changes["next_attempt_at"] = in_seconds(failure.rest)
        held(token, [failure.row_id], using).update(**changes)


def defer(token: uuid.UUID, ids: Collection[uuid.UUID], seconds: float, using: str = DEFAULT_DB_ALIAS) -> int:
    """Give rows back to be taken again after ``seconds``, without counting a failure."""
    return held(token, ids, using).update(claim_token=None, claimed_until=None, next_attempt_at=in_seconds(seconds))
