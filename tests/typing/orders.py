"""Models that publish, and code that writes messages."""

from __future__ import annotations

from typing import Any, assert_type

from django.db import models

from django_outbox import Config, Published, Received, StatusChoice, enqueue, publish


@publish(
    [
        Config(destination="/topic/order.placed", fields=["customer", "amount"], version="v1"),
        Config("/topic/order.announced", serializer="as_announcement"),
    ]
)
class Order(models.Model):
    """An order."""

    customer = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=10, decimal_places=2)

    def as_announcement(self) -> dict[str, Any]:
        """Return the body of the second message."""
        return {"customer": str(self.customer)}

    def is_large(self) -> bool:
        """Tell whether somebody should call the customer."""
        return bool(self.amount > 1000)


# The decorator keeps the class, with all that it has.
assert_type(Order().is_large(), bool)


def cancel(order_id: int) -> Published:
    """Write a message without a model."""
    row = enqueue("/topic/order.cancelled", {"id": order_id}, headers={"color": "red"}, version="v1", using="default")
    return assert_type(row, Published)


def waiting() -> int:
    """Count what is not sent yet."""
    return int(Published.objects.filter(status=StatusChoice.SCHEDULE).count())


def handled(message_id: str) -> bool:
    """Tell whether a message was handled."""
    return bool(Received.objects.filter(msg_id=message_id).exists())


def mistakes() -> None:
    """What the types catch."""
    Config()  # type: ignore[call-arg]
    Config(destination=7)  # type: ignore[arg-type]
    Config("/topic/x", field=["a"])  # type: ignore[call-arg]
    enqueue({"id": 1})  # type: ignore[call-arg, arg-type]
    enqueue("/topic/x", {}, header={})  # type: ignore[call-arg]
    publish(Config("/topic/x"))(Order)  # type: ignore[arg-type]
