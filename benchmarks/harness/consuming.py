"""How a subscriber of either product is measured: a full queue, then the worker, then its inbox watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.harness.processes import peak_megabytes
from benchmarks.harness.progress import rate

if TYPE_CHECKING:
    from benchmarks.harness.products import Product
    from benchmarks.harness.stage import Stage


@dataclass(frozen=True)
class Consumed:
    """How a queue was worked off: messages a second that reached the inbox, and the most memory the worker held."""

    rate: float
    megabytes: float


def consume(
    on: Stage,
    product: Product,
    callback: str,
    count: int,
    *arguments: str,
    conn_max_age: int | None = 0,
    **settings: Any,
) -> Consumed:
    """Have one subscriber work off a queue of ``count`` messages.

    ``callback`` is one of ``benchmarks/project``; ``arguments`` are options of ``manage.py subscribe``, ``settings``
    entries of DJANGO_OUTBOX_PATTERN, ``conn_max_age`` is Django's.
    """
    destination = f"/topic/bench-{callback.replace('.', '-').replace('_', '-')}"
    queue = on.declare_by(product, callback, destination)
    product.empty()
    on.fill_queue(queue, count)
    running = product.running(
        "subscribe", callback, destination, queue, *arguments, conn_max_age=conn_max_age, **settings
    )
    with running as process, product.connect() as connection:

        def handled() -> int:
            found = connection.execute("SELECT count(*) FROM received").fetchone()
            return int(found[0]) if found else 0

        pace = rate(f"{product.name} consumes", handled, count)
        return Consumed(pace, peak_megabytes(process.pid))
