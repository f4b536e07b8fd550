"""What the database itself does with the statements of one message: BEGIN, SELECT, two INSERTs, COMMIT."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from uuid import uuid4

from benchmarks.harness.wire import body

if TYPE_CHECKING:
    from benchmarks.harness.products import Product

_LOOK = "SELECT 1 FROM received WHERE msg_id = %s"
_INBOX = (
    "INSERT INTO received (id, msg_id, headers, body, added, expires_at, retry, status)"
    " VALUES (%s, %s, '{}', %s, now(), now(), 0, 2)"
)
_EFFECT = "INSERT INTO effect (number) VALUES (%s)"


def transactions_per_second(product: Product, count: int, threads: int) -> float:
    """Return the rate of ``count`` such transactions, out of ``threads`` with a connection each."""
    together = threading.Barrier(threads + 1)

    def work(first: int) -> None:
        with product.connect() as connection:
            together.wait()
            for number in range(first, count, threads):
                with connection.transaction():
                    message = str(uuid4())
                    connection.execute(_LOOK, [message])
                    connection.execute(_INBOX, [uuid4(), message, body(number)])
                    connection.execute(_EFFECT, [number])

    with ThreadPoolExecutor(threads) as pool:
        working = [pool.submit(work, first) for first in range(threads)]
        together.wait()
        started = time.monotonic()
        for one in working:
            one.result()
        return count / (time.monotonic() - started)
