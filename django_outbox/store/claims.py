"""Take rows to send them: a claim is a token and a time limit on each row.

Claims are short transactions; nothing here waits for the network.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from django_outbox.store.rows import Claim, all_rows, due_rows, in_seconds, read

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from django_outbox.models import Published


def anything_due(using: str = DEFAULT_DB_ALIAS) -> bool:
    """Tell whether a row waits to be sent: the one statement that an idle publisher costs."""
    return due_rows(using).exists()


def claim(limit: int, lease_seconds: float, using: str = DEFAULT_DB_ALIAS, *, failed_before: bool = False) -> Claim:
    """Take up to ``limit`` due rows for ``lease_seconds``, oldest first; what another publisher holds is passed by.

    Rows that have failed before are claimed apart from the others, so that however many there are, nobody waits for
    them.
    """
    token = uuid.uuid4()
    due = due_rows(using).filter(retry__gt=0) if failed_before else due_rows(using).filter(retry=0)
    if connections[using].features.has_select_for_update:
        return _claim_by_locking(token, due, limit, lease_seconds)
    return _claim_by_writing(token, due, limit, lease_seconds)


def _claim_by_locking(token: uuid.UUID, due: QuerySet[Published], limit: int, lease_seconds: float) -> Claim:
    using = due.db
    skip_locked = connections[using].features.has_select_for_update_skip_locked
    with transaction.atomic(using=using):
        rows = read(due.order_by("added", "id").select_for_update(skip_locked=skip_locked)[:limit])
        if rows:
            chosen = all_rows(using).filter(pk__in=[row.id for row in rows])
            chosen.update(claim_token=token, claimed_until=in_seconds(lease_seconds))
    return Claim(token, rows)


def _claim_by_writing(token: uuid.UUID, due: QuerySet[Published], limit: int, lease_seconds: float) -> Claim:
    """Claim where rows cannot be locked (SQLite): the statement that writes the token is the lock."""
    # Looked for first, so that an idle publisher does not take the database's only write lock.
    if not due.exists():
        return Claim(token, ())
    chosen = due.order_by("added", "id").values("pk")[:limit]
    all_rows(due.db).filter(pk__in=chosen).update(claim_token=token, claimed_until=in_seconds(lease_seconds))
    return Claim(token, read(all_rows(due.db).filter(claim_token=token).order_by("added", "id")))
