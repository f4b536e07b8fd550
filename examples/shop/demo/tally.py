"""Compare what was counted with what must be, and write the table. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from examples.shop.demo.traffic import Counts, WorkerCounts

NAME_WIDTH = 46
NUMBER_WIDTH = 10


@dataclass(frozen=True)
class Line:
    """One row of the table; `expected` is None where any number is right."""

    name: str
    counted: float | None
    expected: int | None = None

    @property
    def right(self) -> bool:
        """Whether the number is what it must be; a number nobody could tell is wrong."""
        return self.counted is not None and self.expected in (None, self.counted)


def since(before: WorkerCounts, now: WorkerCounts) -> WorkerCounts:
    """Return the workers' counters as far as they grew since `before`; a worker that started anew counts from 0."""
    return replace(
        now,
        publish_retries=_growth(before.publish_retries, now.publish_retries),
        redeliveries=_growth(before.redeliveries, now.redeliveries),
    )


def lines(wanted: int, counts: Counts, workers: WorkerCounts) -> list[Line]:
    """Return the rows for a run of `wanted` orders."""
    return [
        Line("orders committed", counts.orders, wanted),
        Line("rows published with the broker's confirm", counts.published, wanted),
        Line("rows failed", counts.failed, 0),
        Line("messages received (billing's inbox)", counts.received, wanted),
        Line("invoices written", counts.invoices, wanted),
        Line("orders that have an invoice", counts.distinct_orders, wanted),
        Line("orders billed more than once", len(counts.billed_twice), 0),
        Line("backlog, from the publisher's /metrics", workers.backlog, 0),
        Line("publish retries, from the publisher's /metrics", workers.publish_retries),
        Line("redeliveries, from the subscriber's /metrics", workers.redeliveries),
    ]


def table(rows: list[Line]) -> str:
    """Return the rows as text, wrong ones marked."""
    head = f"{'':{NAME_WIDTH}}{'expected':>{NUMBER_WIDTH}}{'counted':>{NUMBER_WIDTH}}"
    return "\n".join([head, *(_row(line) for line in rows)])


def _row(line: Line) -> str:
    expected = "any" if line.expected is None else str(line.expected)
    counted = "unknown" if line.counted is None else f"{line.counted:g}"
    mark = "" if line.right else "   <- wrong"
    return f"{line.name:{NAME_WIDTH}}{expected:>{NUMBER_WIDTH}}{counted:>{NUMBER_WIDTH}}{mark}"


def _growth(before: float | None, now: float | None) -> float | None:
    if now is None or before is None or now < before:
        return now
    return now - before
