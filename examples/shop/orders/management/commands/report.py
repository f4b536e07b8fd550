"""`manage.py report`: print as JSON how many orders were placed and what became of their events."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db.models import Max, Min

from django_outbox.choices import StatusChoice
from django_outbox.models import Published
from orders.models import DESTINATION, Order


class Command(BaseCommand):
    """Count orders and their rows in the outbox, by state."""

    help = "Print the counts of orders and of their outbox rows as JSON"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the id after which orders count, so that one run can be told from the runs before."""
        parser.add_argument("--after", type=int, default=0, help="count only orders with a larger id (default 0)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Count and print one JSON line."""
        placed = Order.objects.filter(pk__gt=options["after"])
        rows = Published.objects.filter(destination=DESTINATION, body__id__gt=options["after"])
        first = placed.aggregate(moment=Min("placed_at"))["moment"]
        counts = {
            "orders": placed.count(),
            "first_placed": first and first.timestamp(),
            "last_id": Order.objects.aggregate(last=Max("pk"))["last"] or 0,
            "scheduled": rows.filter(status=StatusChoice.SCHEDULE).count(),
            "published": rows.filter(status=StatusChoice.SUCCEEDED).count(),
            "failed": rows.filter(status=StatusChoice.FAILED).count(),
        }
        self.stdout.write(json.dumps(counts))
