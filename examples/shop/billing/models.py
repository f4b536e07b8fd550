"""What the billing service stores: invoices."""

from __future__ import annotations

from django.db import models


class Invoice(models.Model):
    """An invoice for one order.

    `order_id` is indexed but not unique, on purpose: that each order is billed once is the inbox's work here, and a
    constraint of our own would hide it if the inbox ever failed.
    """

    order_id = models.BigIntegerField(db_index=True)
    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)
    written_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"invoice {self.pk} for order {self.order_id} over {self.amount}"
