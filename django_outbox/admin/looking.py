"""Searches and filters that an index can answer, however large the table.

Ids are ranges of the primary key. There is no index on destinations, so by those is looked among what is unsent and
what was written in the last day, each of which has one. Used by both lists.
"""

from __future__ import annotations

import string
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin import SimpleListFilter
from django.db import connections
from django.db.models import Q
from django.utils import timezone

from django_outbox import decorators
from django_outbox.choices import StatusChoice

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

LOOKED_BACK = timedelta(days=1)
_UNSENT = (StatusChoice.FAILED, StatusChoice.SCHEDULE)
_SHORTEST_PREFIX = 8
_RECENT_ROWS = 500
_UNSENT_ROWS = 2000
_CHOICES = 50


class DestinationFilter(SimpleListFilter):
    """By destination; the choices are those that the code names and those of some recent and some unsent rows."""

    title = "destination (unsent, or of the last day)"
    parameter_name = "destination"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Any]) -> list[tuple[str, str]]:
        """Return the choices at the cost of two short look-ups."""
        rows = model_admin.model._base_manager.order_by()
        recent = rows.order_by("-added").values_list("destination", flat=True)[:_RECENT_ROWS]
        unsent = rows.filter(status__in=_UNSENT).values_list("destination", flat=True)[:_UNSENT_ROWS]
        known = {*recent, *unsent, *_of_decorators()}
        if chosen := request.GET.get(self.parameter_name):
            known.add(chosen)
        return [(name, name) for name in sorted(known)[:_CHOICES]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list."""
        if self.value() is None:
            return queryset
        return within_reach(queryset, request).filter(destination=self.value())


def within_reach(rows: QuerySet[Any], request: HttpRequest) -> QuerySet[Any]:
    """Narrow rows to what an index leads to, unless the filter for dates or states has done so."""
    if any(name.startswith("added__") or name == "status__exact" for name in request.GET):
        return rows
    return rows.filter(Q(status__in=_UNSENT) | Q(added__gte=timezone.now() - LOOKED_BACK))


def by_id(rows: QuerySet[Any], term: str) -> QuerySet[Any] | None:
    """Return the row of this id, or those whose id begins with it; None when the term is no such thing."""
    digits = term.strip().lower().replace("-", "")
    if not set(digits) <= set(string.hexdigits) or not _SHORTEST_PREFIX <= len(digits) <= 32:
        return None
    features = connections[rows.db].features
    if len(digits) == 32 or (features.has_native_uuid_field and connections[rows.db].vendor == "mysql"):
        # MariaDB's own type sorts by parts of the id, so that a prefix is no range.
        return rows.filter(pk=uuid.UUID(digits)) if len(digits) == 32 else rows.none()
    return rows.filter(pk__range=(uuid.UUID(digits.ljust(32, "0")), uuid.UUID(digits.ljust(32, "f"))))


def by_message_id(rows: QuerySet[Any], term: str) -> QuerySet[Any]:
    """Return the inbox's rows whose ``msg_id`` begins with the term."""
    term = term.strip()
    # The range is for the index, whatever the database's collation does with a LIKE; the rest makes it exact.
    return rows.filter(Q(msg_id=term) | Q(msg_id__gte=term, msg_id__lt=f"{term}zzzz", msg_id__startswith=term))


def _of_decorators() -> set[str]:
    return {
        f"{config.destination}.{config.version}" if config.version else config.destination
        for _model, configs in decorators.registry
        for config in configs
    }
