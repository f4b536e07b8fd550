"""The consumers' callbacks, as an application writes them. Some tries fail on purpose, after their effect."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from ledger.models import Effect

try:
    from django_outbox import batch_callback
except ImportError:  # a library that has no batches
    batch_callback = None


def apply(payload: Any) -> None:
    """Let the message take effect and save it, in one transaction."""
    with transaction.atomic():
        _effect(payload).save()
        _fail_sometimes(payload)
        payload.save()


def apply_many(payloads: list[Any]) -> None:
    """Let many messages take effect; the library saves them in the same transaction."""
    Effect.objects.bulk_create([_effect(payload) for payload in payloads])
    for payload in payloads:
        _fail_sometimes(payload)


apply_where_possible_many = apply if batch_callback is None else batch_callback(size=100, wait=0.1)(apply_many)


def _effect(payload: Any) -> Effect:
    return Effect(number=payload.body["number"], attempt=_attempt(payload))


def _fail_sometimes(payload: Any) -> None:
    number = payload.body["number"]
    if settings.CHAOS_FAILS and number % settings.CHAOS_FAILS == 0 and _attempt(payload) == 1:
        raise ValueError(f"message {number} fails at its first try")


def _attempt(payload: Any) -> int:
    return int(getattr(payload, "attempt", 1))
