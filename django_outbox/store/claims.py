"""Take rows to send them: a claim is a token and a time limit on each row.

Claims are short transactions; nothing here waits for the network.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings as django_settings
from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import F

from django_outbox.choices import StatusChoice
from django_outbox.outbox import published_model
from django_outbox.store.atonce import can_claim_at_once, claimed_at_once
from django_outbox.store.ordering import claimer_alone, keyed_rows, rows_in_turn, troubled_rows, unbroken, unkeyed_rows
from django_outbox.store.rows import AnyOf, Claim, all_rows, due_rows, in_seconds, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

    from django_outbox.models import Published
    from django_outbox.store.rows import ClaimedRow


class Share(Enum):
    """Which of the due rows a claim takes. Each share is claimed apart, so that none has to wait for the others."""

    UNKEYED = auto()
    """Never failed, and follows nobody."""
    KEYED = auto()
    """Never failed, and it is its turn in its key."""
    TROUBLED = auto()
    """Failed before."""


@dataclass(frozen=True, slots=True)
class Due:
    """Whether there are rows whose time has come; those with a key may still have to wait for their turn."""

    unkeyed: bool
    keyed: bool
    troubled: bool

    def __bool__(self) -> bool:
        return self.unkeyed or self.keyed or self.troubled


def look(using: str = DEFAULT_DB_ALIAS) -> Due:
    """Tell what waits to be sent: the one statement that an idle publisher costs."""
    connection = connections[using]
    statement, values = _look(published_model(), using, connection.vendor, django_settings.USE_TZ)
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return Due(*map(bool, cursor.fetchone()))


@lru_cache(maxsize=64)
def _look(
    model: type[Published],  # noqa: ARG001 - the statement depends on it, as on the others
    using: str,
    vendor: str,  # noqa: ARG001
    use_tz: bool,  # noqa: ARG001
) -> tuple[str, tuple[Any, ...]]:
    """Return the statement that looks, and its values, kept: to write it takes Django longer than to run it."""
    parts: list[str] = []
    values: list[Any] = []
    for rows in (unkeyed_rows(using), keyed_rows(using), due_rows(using).filter(retry__gt=0)):
        sql, arguments = rows.order_by().values("pk").query.get_compiler(using).as_sql()
        parts.append(f"EXISTS({sql})")
        values += arguments
    return f"SELECT {', '.join(parts)}", tuple(values)


def claim(limit: int, lease_seconds: float, using: str = DEFAULT_DB_ALIAS, *, share: Share = Share.UNKEYED) -> Claim:
    """Take up to ``limit`` due rows for ``lease_seconds``, oldest first; what another publisher holds is passed by."""
    token = uuid.uuid4()
    can_lock = connections[using].features.has_select_for_update
    if share is Share.KEYED and can_lock:
        return _claim_in_turn(token, limit, lease_seconds, using)
    queries = {Share.UNKEYED: unkeyed_rows, Share.KEYED: rows_in_turn, Share.TROUBLED: troubled_rows}
    if can_claim_at_once(using):
        return Claim(token, claimed_at_once(queries[share], using, token, limit, lease_seconds))
    due = queries[share](using)
    if can_lock:
        return _claim_by_locking(token, due, limit, lease_seconds)
    return _claim_by_writing(token, due, limit, lease_seconds)


def _claim_by_locking(token: uuid.UUID, due: QuerySet[Published], limit: int, lease_seconds: float) -> Claim:
    using = due.db
    with transaction.atomic(using=using):
        rows = read(_locked(due.order_by("added", "id"))[:limit])
        _mark(token, rows, lease_seconds, using)
    return Claim(token, rows)


def _claim_in_turn(token: uuid.UUID, limit: int, lease_seconds: float, using: str) -> Claim:
    """Claim keyed rows. A row that somebody else has locked right now is passed by, and so is what follows it."""
    with claimer_alone(using) as is_alone:
        if not is_alone:
            return Claim(token, ())
        wanted = list(rows_in_turn(using).order_by("added", "id").values_list("pk", "key")[:limit])
        free = due_rows(using).filter(pk__in=[row_id for row_id, _ in wanted])
        locked = read(_locked(free.order_by("added", "id"))) if wanted else ()
        rows = unbroken([(row_id, str(key)) for row_id, key in wanted], locked)
        _mark(token, rows, lease_seconds, using)
    return Claim(token, rows)


def _locked(rows: QuerySet[Published]) -> QuerySet[Published]:
    return rows.select_for_update(skip_locked=connections[rows.db].features.has_select_for_update_skip_locked)


def _mark(token: uuid.UUID, rows: Sequence[ClaimedRow], lease_seconds: float, using: str) -> None:
    if rows:
        chosen = all_rows(using).filter(AnyOf(F("pk"), [row.id for row in rows]))
        chosen.update(claim_token=token, claimed_until=in_seconds(lease_seconds))


def _claim_by_writing(token: uuid.UUID, due: QuerySet[Published], limit: int, lease_seconds: float) -> Claim:
    """Claim where rows cannot be locked (SQLite): the statement that writes the token is the lock."""
    # Looked for first, so that an idle publisher does not take the database's only write lock.
    if not due.exists():
        return Claim(token, ())
    chosen = due.order_by("added", "id").values("pk")[:limit]
    all_rows(due.db).filter(pk__in=chosen).update(claim_token=token, claimed_until=in_seconds(lease_seconds))
    return Claim(
        token, read(all_rows(due.db).filter(claim_token=token, status=StatusChoice.SCHEDULE).order_by("added", "id"))
    )
