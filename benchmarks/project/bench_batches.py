"""Callbacks that only ours has: many messages at a time."""

from effects.models import Effect

from django_outbox import batch_callback


@batch_callback(size=100)
def write_rows(payloads):
    """Write one row for each message."""
    Effect.objects.bulk_create(Effect(number=payload.body["n"]) for payload in payloads)
