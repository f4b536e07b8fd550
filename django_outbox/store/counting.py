"""What is not sent yet, counted.

The worker's metrics ask at each scrape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count, Min, Q

from django_outbox import settings
from django_outbox.choices import StatusChoice
from django_outbox.store.rows import all_rows

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class DestinationBacklog:
    """What has not been sent to one destination.

    ``pending`` waits to be sent, ``blocked`` is the part of it whose key has a row among those ``failed``.
    """

    destination: str
    pending: int
    failed: int
    oldest_pending: datetime | None
    blocked: int = 0


def backlog(using: str = DEFAULT_DB_ALIAS) -> list[DestinationBacklog]:
    """Return what is not sent yet, by destination: two counts over the index of states, none over finished rows."""
    waiting, failed = Q(status=StatusChoice.SCHEDULE), Q(status=StatusChoice.FAILED)
    stuck_keys = all_rows(using).filter(failed, key__isnull=False).values("key")
    blocked = Q(pk__in=[]) if settings.ORDER_ON_FAILURE == "skip" else Q(waiting, key__in=stuck_keys)
    counted = (
        all_rows(using)
        .filter(waiting | failed)
        .order_by()
        .values("destination")
        .annotate(
            waiting=Count("pk", filter=waiting),
            parked=Count("pk", filter=failed),
            oldest=Min("added", filter=waiting),
            blocked=Count("pk", filter=blocked),
        )
    )
    return [
        DestinationBacklog(
            destination=row["destination"],
            pending=row["waiting"],
            failed=row["parked"],
            oldest_pending=row["oldest"],
            blocked=row["blocked"],
        )
        for row in counted
    ]
