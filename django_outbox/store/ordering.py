"""What the order within a key asks of a claim: which rows have their turn, and one claimer at a time.

Earlier means: written earlier (``added``, then ``id``). A row has its turn when no earlier row of its key is with
another publisher, has failed and waits to be tried again, or is parked as FAILED where the settings let it block. Two
claims at the same moment would each see the other's rows as free; so keyed rows are claimed under a lock of the
database's own, which ends with the transaction, or the connection, of whoever holds it.
"""

from __future__ import annotations

import time
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from django_outbox import settings
from django_outbox.choices import StatusChoice
from django_outbox.outbox import published_model
from django_outbox.store.rows import DatabaseNow, all_rows, due_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from uuid import UUID

    from django_outbox.models import Published
    from django_outbox.store.rows import ClaimedRow

# Another's claim takes some milliseconds. One that stands still must not make everybody else stand still.
_TRIES = 4
_PAUSE_SECONDS = 0.01


def unkeyed_rows(using: str) -> QuerySet[Published]:
    """Return the due rows that follow nobody and have never failed."""
    return due_rows(using).filter(retry=0, key__isnull=True)


def keyed_rows(using: str) -> QuerySet[Published]:
    """Return the due rows with a key that have never failed, whether it is their turn or not."""
    return due_rows(using).filter(retry=0, key__isnull=False)


def rows_in_turn(using: str) -> QuerySet[Published]:
    """Return the due rows of each key up to the first that cannot go now.

    They may be claimed together. Only under ``claimer_alone`` is the answer still true when it is acted upon.
    """
    now = DatabaseNow()
    is_held = Q(claimed_until__gt=now) | Q(next_attempt_at__gt=now) | Q(retry__gt=0)
    in_the_way = Q(is_held, status=StatusChoice.SCHEDULE) | _failed_in_the_way()
    return keyed_rows(using).filter(~Exists(earlier_in_key(using).filter(in_the_way)))


def troubled_rows(using: str) -> QuerySet[Published]:
    """Return the due rows that have failed before; of a key only the one that nothing unsent stands before."""
    unsent = Q(status=StatusChoice.SCHEDULE) | _failed_in_the_way()
    is_first = Q(key__isnull=True) | ~Exists(earlier_in_key(using).filter(unsent))
    return due_rows(using).filter(is_first, retry__gt=0)


def earlier_in_key(using: str) -> QuerySet[Published]:
    """Return the unsent rows that stand before the row of an outer query in its key."""
    added, row_id = OuterRef("added"), OuterRef("id")
    is_earlier = Q(added__lt=added) | Q(added=added, id__lt=row_id)
    # Below 2: not sent. So said, it is the condition of the index.
    return all_rows(using).filter(is_earlier, key=OuterRef("key"), status__lt=int(StatusChoice.SUCCEEDED))


def unbroken(wanted: Sequence[tuple[UUID, str]], got: Collection[ClaimedRow]) -> tuple[ClaimedRow, ...]:
    """Return those of ``got`` before which none of their key that was wanted is missing."""
    present = {row.id for row in got}
    broken = set()
    allowed = set()
    for row_id, key in wanted:
        if row_id not in present:
            broken.add(key)
        elif key not in broken:
            allowed.add(row_id)
    return tuple(row for row in got if row.id in allowed)


@contextmanager
def claimer_alone(using: str) -> Iterator[bool]:
    """Open a transaction that no other claimer of keyed rows is in at the same time; yield whether that worked."""
    vendor = connections[using].vendor
    if vendor == "postgresql":
        with transaction.atomic(using=using):
            yield _try("SELECT pg_try_advisory_xact_lock(%s)", _lock_number(), using)
    elif vendor == "mysql":
        with _named_lock(using) as got, transaction.atomic(using=using):
            yield got
    else:
        with transaction.atomic(using=using):
            yield True


def _failed_in_the_way() -> Q:
    """Return the condition under which a parked row holds up its key; one that nothing meets where it never does."""
    return Q(pk__in=[]) if settings.ORDER_ON_FAILURE == "skip" else Q(status=StatusChoice.FAILED)


@contextmanager
def _named_lock(using: str) -> Iterator[bool]:
    # The server's locks know no databases, and belong to the connection.
    name = f"django_outbox {_lock_number():x} {zlib.crc32(str(connections[using].settings_dict['NAME']).encode()):x}"
    got = _try("SELECT GET_LOCK(%s, 0)", name, using)
    try:
        yield got
    finally:
        if got:
            _try("SELECT RELEASE_LOCK(%s)", name, using)


def _try(statement: str, argument: str | int, using: str) -> bool:
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        with connections[using].cursor() as cursor:
            cursor.execute(statement, [argument])
            if cursor.fetchone()[0]:
                return True
    return False


def _lock_number() -> int:
    """Return the number of our lock: two outboxes in one database are two locks."""
    return 0x6F7574 << 32 | zlib.crc32(published_model()._meta.db_table.encode())
