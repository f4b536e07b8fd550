"""Delete old rows that are finished, of either table. Retention calls it, bite by bite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, models

from django_outbox.choices import StatusChoice

if TYPE_CHECKING:
    from datetime import datetime


def remove_finished(model: type[models.Model], before: datetime, limit: int, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete up to ``limit`` rows of either table that succeeded and were added before ``before``; return how many."""
    all_rows = model._base_manager.using(using)
    finished = all_rows.filter(status=StatusChoice.SUCCEEDED, added__lt=before).order_by("added")
    # The ids first: MySQL knows no LIMIT in a subquery of DELETE, and a plain list keeps the locks to these rows.
    chosen = list(finished.values_list("pk", flat=True)[:limit])
    return all_rows.filter(pk__in=chosen).delete()[0] if chosen else 0
