"""The consumer's callback, as an application writes it."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from ledger.models import Effect


def apply(payload: Any) -> None:
    """Let the message take effect and save it, in one transaction."""
    with transaction.atomic():
        Effect.objects.create(number=payload.body["number"])
        payload.save()
