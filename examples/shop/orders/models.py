"""What the orders service stores: orders; `@publish` writes each one's event in the same transaction."""

from __future__ import annotations

from django.db import models

from django_outbox.decorators import Config, publish

DESTINATION = "/topic/order.placed"


@publish([Config(destination=DESTINATION, fields=["customer", "amount"])])
class Order(models.Model):
    """An order that a customer placed; never changed afterwards, so each has one event."""

    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    placed_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"order {self.pk} of {self.customer} over {self.amount}"
