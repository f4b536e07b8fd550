"""What billing does with the events it hears; the Subscription names these functions by their dotted path."""

from __future__ import annotations

from django.db import transaction

from billing.models import Invoice
from django_outbox.payloads import Payload  # noqa: TC001 - a callback reads best with plain imports


def bill_order(payload: Payload) -> None:
    """Write the invoice of a placed order.

    `payload.save()` in the same transaction is what makes a second delivery of the message do nothing.
    """
    order = payload.body
    with transaction.atomic():
        Invoice.objects.create(order_id=order["id"], customer=order["customer"], amount=order["amount"])
        payload.save()
