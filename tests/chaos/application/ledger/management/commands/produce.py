"""Write numbered messages at an even rate until asked to stop; some transactions are rolled back on purpose."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.db import Error, connection, transaction
from django_outbox_pattern.models import Published

from ledger.models import Order

if TYPE_CHECKING:
    from argparse import ArgumentParser

MOST_IN_A_TRANSACTION = 20
ROLLED_BACK = 0.08  # of the transactions
# Of the transactions: their messages have keys, a few for each producer, so that one transaction holds a key twice.
KEYED = 0.1
KEYS = 25
CATCH_UP = 2.0  # seconds of production that an outage may leave to be made up for


class Command(BaseCommand):
    """The producer of the fault ledger."""

    help = "Write orders, each with its message."
    requires_system_checks: Any = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Define what the run asks for."""
        parser.add_argument("--rate", type=float, required=True, help="messages a second")
        parser.add_argument("--destination", required=True)
        parser.add_argument("--keyed-destination", required=True, help="where messages with a key go")
        parser.add_argument("--name", required=True, help="begins the keys: no other producer writes to them")
        parser.add_argument("--seed", type=int, required=True)
        parser.add_argument("--rolled-back", type=Path, required=True, help="file that numbers are noted in")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Produce until SIGTERM."""
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        chooser = random.Random(options["seed"])
        rate, due_at = options["rate"], time.monotonic()
        with options["rolled_back"].open("a") as notes:
            while not stop.is_set():
                size = chooser.randint(1, MOST_IN_A_TRANSACTION)
                try:
                    messages = self._messages(size, chooser, options)
                    numbers = self._write(messages, in_vain=chooser.random() < ROLLED_BACK)
                    notes.writelines(f"{number}\n" for number in numbers)
                    notes.flush()
                except Error as error:
                    self.stderr.write(f"the database does not work: {error}")
                    connection.close()
                    stop.wait(0.5)
                due_at = max(due_at + size / rate, time.monotonic() - CATCH_UP)
                stop.wait(max(0.0, due_at - time.monotonic()))

    def _messages(self, size: int, chooser: random.Random, options: dict[str, Any]) -> list[Published]:
        """Return the messages of one transaction, with the next numbers."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('order_numbers') FROM generate_series(1, %s)", [size])
            numbers = [row[0] for row in cursor.fetchall()]
        if chooser.random() >= KEYED:
            return [Published(destination=options["destination"], body={"number": number}) for number in numbers]
        keys = [f"{options['name']}-{chooser.randrange(KEYS)}" for _ in numbers]
        return [_keyed(options["keyed_destination"], number, key) for number, key in zip(numbers, keys, strict=True)]

    def _write(self, messages: list[Published], *, in_vain: bool) -> list[int]:
        """Write one transaction; return the numbers that it took back."""
        numbers = [message.body["number"] for message in messages]
        with transaction.atomic():
            for number, message in zip(numbers, messages, strict=True):
                Order.objects.create(number=number)
                message.save()
            transaction.set_rollback(in_vain)
        return numbers if in_vain else []


def _keyed(destination: str, number: int, key: str) -> Published:
    """Return a message with a key; a library that knows none gets it in the body only."""
    known = {"key": key} if hasattr(Published, "key") else {}
    return Published(destination=destination, body={"number": number, "key": key}, **known)
