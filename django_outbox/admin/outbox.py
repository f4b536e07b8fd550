"""The outbox in the admin, with the two things that people do to its rows: replay and park."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.utils import timezone

from django_outbox import upkeep
from django_outbox.admin.looking import DestinationFilter, by_id, within_reach
from django_outbox.admin.pages import ReadOnlyAdmin
from django_outbox.models import Published

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

logger = logging.getLogger("django_outbox_pattern")

# What one request changes at most: minutes of waiting are for `manage.py outbox retry`.
AT_ONCE = 10_000
_ERROR_SHOWN = 80
# Messages of one key are sent in order; not every release has it.
_KEY = ("key",) if upkeep.has_field(Published, "key") else ()


@admin.register(Published)
class PublishedAdmin(ReadOnlyAdmin):
    """Messages on their way out."""

    list_display = ("id", "destination", *_KEY, "status", "age", "retry", "error", "expired", "added")
    list_filter = ("status", DestinationFilter, "added")
    search_fields = ("id", "destination")
    search_help_text = (
        "An id, or the 8 and more digits that it begins with. "
        "Or a part of the destination: looked for in what is unsent, and in the last day."
    )
    actions = ("replay", "park")
    fieldsets = (
        (None, {"fields": ("id", "destination", "version", *_KEY, "status", "added", "age")}),
        ("Delivery", {"fields": ("retry", "last_error", "next_attempt_at", "claimed_until", "expires_at", "expired")}),
        ("Message", {"fields": ("pretty_headers", "pretty_body")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search by what an index knows."""
        if not search_term.strip():
            return queryset, False
        found = by_id(queryset, search_term)
        if found is None:
            found = within_reach(queryset, request).filter(destination__icontains=search_term.strip())
        return found, False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell who may replay and park: whoever may change the model."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    @admin.action(description="Replay: send failed and expired messages again", permissions=["operate"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Put the chosen rows back that failed or expired."""
        chosen = queryset.using(upkeep.database_of_outbox())
        done = sum(upkeep.put_back(upkeep.replayable(chosen), AT_ONCE))
        self._tell(request, done, "will be sent again", "waited already, were sent, or are being sent")

    @admin.action(description="Park: do not send these messages", permissions=["operate"])
    def park(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Mark the chosen rows that wait as failed."""
        chosen = queryset.using(upkeep.database_of_outbox())
        note = f"Parked in the admin by {request.user.get_username()}."
        done = sum(upkeep.park(chosen, note, AT_ONCE))
        self._tell(request, done, "parked", "had failed, were sent, or are being sent")

    @admin.display(description="error")
    def error(self, message: Published) -> str:
        """Show the beginning of the error."""
        text = " ".join((message.last_error or "").split())
        return text if len(text) <= _ERROR_SHOWN else f"{text[: _ERROR_SHOWN - 1]}…"

    @admin.display(description="can be published?", boolean=True)
    def expired(self, message: Published) -> bool:
        """Tell whether the row is within its ``expires_at``, which stops nobody from sending it."""
        return message.expires_at >= timezone.now()

    def _tell(self, request: HttpRequest, done: int, deed: str, others: str) -> None:
        logger.info("%s: %d messages %s", request.user.get_username(), done, deed)
        plural = "message" if done == 1 else "messages"
        if done == AT_ONCE:
            words = f"{done:,} {plural} {deed}. There may be more: repeat it, or use manage.py outbox retry."
            self.message_user(request, words, messages.WARNING)
        elif done:
            self.message_user(request, f"{done:,} {plural} {deed}.", messages.SUCCESS)
        else:
            self.message_user(request, f"Nothing was changed: the chosen messages {others}.", messages.WARNING)
