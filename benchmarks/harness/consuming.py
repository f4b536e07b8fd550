"""How a subscriber of either product is measured: a full queue, then the worker, then its inbox watched."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.harness.processes import family_seconds, peak_megabytes, processor_seconds
from benchmarks.harness.progress import rate

if TYPE_CHECKING:
    from benchmarks.harness.products import Product
    from benchmarks.harness.stage import Stage


@dataclass(frozen=True)
class Consumed:
    """How a queue was worked off: messages a second that reached the inbox, and the most memory a worker held.

    ``processor`` is what a message cost in microseconds of processor time: the workers, the broker and the database.
    """

    rate: float
    megabytes: float
    processor: dict[str, float] = field(default_factory=dict)

    def figures(self, name: str) -> dict[str, float]:
        """Return the rate and what a message cost as figures of a scenario."""
        costs = {f"{name}: processor of the {who} (us)": value for who, value in self.processor.items()}
        return {name: self.rate, **costs}


def consume(
    on: Stage,
    product: Product,
    callback: str,
    count: int,
    *arguments: str,
    conn_max_age: int | None = 0,
    workers: int = 1,
    **settings: Any,
) -> Consumed:
    """Have ``workers`` subscribers, a process each, work off a queue of ``count`` messages.

    ``callback`` is one of ``benchmarks/project``; ``arguments`` are options of ``manage.py subscribe``, ``settings``
    entries of DJANGO_OUTBOX_PATTERN, ``conn_max_age`` is Django's.
    """
    destination = f"/topic/bench-{callback.replace('.', '-').replace('_', '-')}"
    queue = on.declare_by(product, callback, destination)
    product.empty()
    on.fill_queue(queue, count)
    with ExitStack() as stack, product.connect() as connection:
        processes = [
            stack.enter_context(
                product.running(
                    "subscribe", callback, destination, queue, *arguments, conn_max_age=conn_max_age, **settings
                )
            )
            for _ in range(workers)
        ]

        def handled() -> int:
            found = connection.execute("SELECT count(*) FROM received").fetchone()
            return int(found[0]) if found else 0

        def spent() -> dict[str, float]:
            servers = {"broker": on.rabbitmq.pid, "database": on.postgres.pid}
            return {
                "worker": sum(processor_seconds(process.pid) for process in processes),
                **{name: family_seconds(pid) for name, pid in servers.items() if pid is not None},
            }

        begun: list[tuple[int, dict[str, float]]] = []
        pace = rate(f"{product.name} consumes", handled, count, at_first=lambda first: begun.append((first, spent())))
        [(first, before)] = begun
        costs = {who: (after - before[who]) * 1e6 / (count - first) for who, after in spent().items()}
        return Consumed(pace, max(peak_megabytes(process.pid) for process in processes), costs)
