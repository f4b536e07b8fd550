"""`manage.py place_orders N`: place N orders, each in its own transaction, as N customers would."""

from __future__ import annotations

import argparse
import json
import time
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from orders.models import Order

MOST_AT_ONCE = 100_000
CUSTOMERS = ("Ada", "Edsger", "Grace", "Barbara", "Tony", "Donald", "Frances")


class Command(BaseCommand):
    """Place orders; prints one JSON line with how many and their first and last id."""

    help = "Place N orders, each in its own transaction"

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the number of orders and, to make a load that lasts, their rate."""
        parser.add_argument("count", type=_count, metavar="N")
        parser.add_argument("--per-second", type=_rate, help="at most so many orders a second (default: no limit)")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Place them and report."""
        started = time.monotonic()
        ids: list[int] = []
        for number in range(options["count"]):
            if options["per_second"]:
                _wait_until(started + number / options["per_second"])
            order = Order.objects.create(
                customer=CUSTOMERS[number % len(CUSTOMERS)], amount=Decimal(number % 5000 + 1) / 100
            )
            ids.append(order.pk)
        seconds = round(time.monotonic() - started, 3)
        report = {"placed": len(ids), "first_id": ids[0], "last_id": ids[-1], "seconds": seconds}
        self.stdout.write(json.dumps(report))


def _wait_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _count(value: str) -> int:
    if not value.isdecimal() or not 1 <= int(value) <= MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"{value!r} is no number from 1 to {MOST_AT_ONCE}")
    return int(value)


def _rate(value: str) -> float:
    try:
        rate = float(value)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"{value!r} is no rate; write for example 50")
    return rate
