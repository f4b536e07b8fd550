"""The inbox in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin

from django_outbox.admin.looking import by_message_id
from django_outbox.admin.pages import ReadOnlyAdmin
from django_outbox.models import Received

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


@admin.register(Received)
class ReceivedAdmin(ReadOnlyAdmin):
    """Messages that were handled."""

    # The destination is one of the headers.
    heavy = ("body",)
    list_display = ("id", "msg_id", "consumer", "destination", "status", "age", "added")
    list_filter = ("status", "added")
    search_fields = ("msg_id",)
    search_help_text = "A message's id, or what it begins with."
    fieldsets = (
        (None, {"fields": ("id", "msg_id", "consumer", "destination", "status", "added", "age", "expires_at")}),
        ("Message", {"fields": ("pretty_headers", "pretty_body")}),
    )

    def get_search_results(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django passes it by name
        queryset: QuerySet[Any],
        search_term: str,
    ) -> tuple[QuerySet[Any], bool]:
        """Search by what an index knows."""
        return (by_message_id(queryset, search_term) if search_term.strip() else queryset), False
