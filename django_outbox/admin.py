"""Both tables in Django's admin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils import timezone

from django_outbox.models import Published, Received

if TYPE_CHECKING:
    _PublishedBase = admin.ModelAdmin[Published]
    _ReceivedBase = admin.ModelAdmin[Received]
else:
    _PublishedBase = _ReceivedBase = admin.ModelAdmin


@admin.register(Published)
class PublishedAdmin(_PublishedBase):
    """Messages on their way out."""

    ordering = ("-added",)
    list_display = ("destination", "body", "headers", "status", "retry", "expired", "added")
    search_fields = ("destination",)
    list_filter = ("status", "added")
    readonly_fields = ("next_attempt_at", "last_error")

    @admin.display(description="can be published?", boolean=True, ordering="expires_at")
    def expired(self, message: Published) -> bool:
        """Tell whether the row is within its ``expires_at``, which stops nobody from sending it."""
        return message.expires_at >= timezone.now()


@admin.register(Received)
class ReceivedAdmin(_ReceivedBase):
    """Messages that were handled."""

    ordering = ("-added",)
    list_display = ("destination", "consumer", "body", "headers", "status", "added")
    search_fields = ("headers", "msg_id")
    list_filter = ("status", "added")
