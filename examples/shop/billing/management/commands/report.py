"""`manage.py report`: print as JSON how many messages arrived and which invoices they became."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Count, Max

from billing.models import Invoice
from django_outbox.models import Received

MOST_LISTED = 20


class Command(BaseCommand):
    """Count the inbox's rows and the invoices, and list orders billed more than once."""

    help = "Print the counts of messages received and of invoices as JSON"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the id after which orders count, so that one run can be told from the runs before."""
        parser.add_argument("--after", type=int, default=0, help="count only orders with a larger id (default 0)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Count and print one JSON line."""
        invoices = Invoice.objects.filter(order_id__gt=options["after"])
        twice = invoices.values("order_id").annotate(times=Count("id")).filter(times__gt=1).order_by("order_id")
        last = invoices.aggregate(moment=Max("written_at"))["moment"]
        counts = {
            "received": Received.objects.filter(body__id__gt=options["after"]).count(),
            "invoices": invoices.count(),
            "distinct_orders": invoices.values("order_id").distinct().count(),
            "last_written": last and last.timestamp(),
            "billed_twice": [row["order_id"] for row in twice[:MOST_LISTED]],
        }
        self.stdout.write(json.dumps(counts))
