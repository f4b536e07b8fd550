"""Billing: `manage.py test billing` with DJANGO_SETTINGS_MODULE=billing.settings."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from django.core.management import call_command
from django.test import TestCase

from billing.callbacks import bill_order
from billing.models import Invoice


@dataclass
class FakePayload:
    """A message as the consumer hands it over, without a broker."""

    body: dict[str, Any]
    saves: list[bool] = field(default_factory=list)

    def save(self) -> None:
        """Note that the message's receipt was stored."""
        self.saves.append(True)


class Billing(TestCase):
    """The callback and the report."""

    def test_an_order_becomes_an_invoice_and_the_message_is_saved_with_it(self) -> None:
        """One invoice of the order's amount, one receipt."""
        payload = FakePayload({"id": 7, "customer": "Ada", "amount": "19.90"})
        bill_order(payload)  # type: ignore[arg-type]
        invoice = Invoice.objects.get()
        assert (invoice.order_id, str(invoice.amount), invoice.customer) == (7, "19.90", "Ada")
        assert payload.saves == [True]

    def test_an_order_billed_twice_would_be_seen(self) -> None:
        """Nothing but the inbox keeps an order from being billed twice, and the report names the doubles."""
        for order_id in (1, 2, 2):
            Invoice.objects.create(order_id=order_id, customer="Ada", amount=1)
        out = StringIO()
        call_command("report", stdout=out)
        report = json.loads(out.getvalue())
        assert (report["invoices"], report["distinct_orders"], report["billed_twice"]) == (3, 2, [2])
