"""What both lists have in common: read only, light rows, and pages that nobody counts a whole table for."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.paginator import Paginator
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from django_outbox import upkeep
from django_outbox.durations import age

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    _Base = admin.ModelAdmin[Any]
    _Pages = Paginator[Any]
else:
    _Base, _Pages = admin.ModelAdmin, Paginator

COUNTED = 10_000
# A page far back is reached by reading all the rows before it.
_LAST_PAGE = 1000
# Characters of a body that a page shows.
_SHOWN = 100_000


class EstimatingPaginator(_Pages):
    """Counts up to ``COUNTED`` rows; a list of everything beyond that is as long as the database estimates it."""

    @cached_property
    def count(self) -> int:
        """Return the number of rows, or about that."""
        rows: Any = self.object_list
        if not rows.query.where:
            estimate = upkeep.estimated_rows(rows.model, rows.db)
            if estimate is not None and estimate > COUNTED:
                return estimate
        return upkeep.count_up_to(rows, COUNTED)

    @cached_property
    def num_pages(self) -> int:
        """Return the number of pages that can be turned to."""
        return min(-(-max(1, self.count) // self.per_page), _LAST_PAGE)


class ReadOnlyAdmin(_Base):
    """A list to look at. Bodies and headers are read for one row's page only."""

    ordering = ("-added",)
    sortable_by = ("added",)
    paginator = EstimatingPaginator
    show_full_result_count = False
    heavy: tuple[str, ...] = ("body", "headers")
    if hasattr(admin, "ShowFacets"):
        # They count the table once for each choice of each filter.
        show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows, without their bodies where many are listed."""
        rows = super().get_queryset(request)
        match = request.resolver_match
        is_list = match is not None and (match.url_name or "").endswith("_changelist")
        return rows.defer(*self.heavy) if is_list else rows

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Leave out the deletion of many, which would load each of them."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def has_add_permission(self, _request: HttpRequest) -> bool:
        """Nobody: rows are written by the application."""
        return False

    def has_change_permission(self, _request: HttpRequest, _obj: Any = None) -> bool:
        """Nobody: what was sent is what the row says."""
        return False

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one row under its id: its text holds the whole body."""
        return super().change_view(request, object_id, form_url, {"subtitle": object_id, **(extra_context or {})})

    @admin.display(description=mark_safe('<input type="checkbox" id="action-toggle">'))
    def action_checkbox(self, obj: Any) -> SafeString:
        """Return the box to choose a row by; Django's would read its text, and with it the body, row by row."""
        box = forms.CheckboxInput({"class": "action-select", "aria-label": f"Select {obj.pk}"}, lambda _value: False)
        return box.render(ACTION_CHECKBOX_NAME, str(obj.pk))

    @admin.display(description="age", ordering="added")
    def age(self, row: Any) -> str:
        """Tell how long ago the row was written."""
        return age(row.added)

    @admin.display(description="headers")
    def pretty_headers(self, row: Any) -> SafeString:
        """Show the headers for people."""
        return pretty(row.headers)

    @admin.display(description="body")
    def pretty_body(self, row: Any) -> SafeString:
        """Show the body for people."""
        return pretty(row.body)


def pretty(value: Any) -> SafeString:
    """Return JSON as people read it, cut where a browser would choke on it."""
    text = json.dumps(value, indent=2, ensure_ascii=False, cls=DjangoJSONEncoder)
    if len(text) > _SHOWN:
        text = f"{text[:_SHOWN]}\n… {len(text) - _SHOWN:,} characters more"
    return format_html('<pre style="white-space: pre-wrap; margin: 0">{}</pre>', text)
