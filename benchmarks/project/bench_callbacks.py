"""What both products' subscribers call."""

from django.db import transaction
from effects.models import Effect


def save(payload):
    """Save the message and do nothing else."""
    payload.save()


def write_row(payload):
    """Write one row and save, in one transaction."""
    with transaction.atomic():
        Effect.objects.create(number=payload.body["n"])
        payload.save()
