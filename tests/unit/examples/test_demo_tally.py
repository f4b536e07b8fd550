"""The demo's table: which numbers are right, and that a wrong or unknown one is marked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from examples.shop.demo import tally
from examples.shop.demo.metrics import total
from examples.shop.demo.traffic import Counts, WorkerCounts

GOOD = Counts(
    orders=200,
    published=200,
    scheduled=0,
    failed=0,
    received=200,
    invoices=200,
    distinct_orders=200,
    billed_twice=(),
)
IDLE = WorkerCounts(backlog=0, publish_retries=0, redeliveries=0)


def wrong_names(counts: Counts, workers: WorkerCounts = IDLE) -> list[str]:
    """Return the names of the rows that are wrong."""
    return [row.name for row in tally.lines(200, counts, workers) if not row.right]


def test_a_run_in_which_every_order_arrived_once_is_right() -> None:
    assert wrong_names(GOOD) == []


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ({"orders": 199}, "orders committed"),
        ({"published": 199}, "rows published with the broker's confirm"),
        ({"failed": 1}, "rows failed"),
        ({"received": 201}, "messages received (billing's inbox)"),
        ({"invoices": 201}, "invoices written"),
        ({"distinct_orders": 199}, "orders that have an invoice"),
        ({"billed_twice": (7,)}, "orders billed more than once"),
    ],
)
def test_each_number_that_is_off_is_found(fault: dict[str, int], name: str) -> None:
    assert wrong_names(replace(GOOD, **fault)) == [name]  # type: ignore[arg-type]


@pytest.mark.parametrize("backlog", [3, None])
def test_a_backlog_that_is_not_empty_or_that_no_worker_tells_is_wrong(backlog: float | None) -> None:
    assert wrong_names(GOOD, replace(IDLE, backlog=backlog)) == ["backlog, from the publisher's /metrics"]


def test_retries_are_no_fault() -> None:
    assert wrong_names(GOOD, WorkerCounts(backlog=0, publish_retries=4, redeliveries=2)) == []


def test_the_table_marks_the_wrong_row_only() -> None:
    text = tally.table(tally.lines(200, replace(GOOD, invoices=201), IDLE))
    assert [line for line in text.splitlines() if "wrong" in line] == [
        f"{'invoices written':46}{'200':>10}{'201':>10}   <- wrong"
    ]


def test_arrival_waits_for_the_slowest_number_and_not_for_doubles_to_go_away() -> None:
    assert not replace(GOOD, received=150).arrived(200)
    assert replace(GOOD, invoices=201).arrived(200)


def test_counters_are_told_as_far_as_they_grew_in_this_run() -> None:
    before = WorkerCounts(backlog=5, publish_retries=3, redeliveries=2)
    now = WorkerCounts(backlog=0, publish_retries=4, redeliveries=2)
    assert tally.since(before, now) == WorkerCounts(backlog=0, publish_retries=1, redeliveries=0)


def test_a_worker_that_started_anew_counts_from_zero() -> None:
    before = WorkerCounts(backlog=0, publish_retries=9, redeliveries=None)
    now = WorkerCounts(backlog=0, publish_retries=1, redeliveries=3)
    assert tally.since(before, now) == now


EXPOSITION = """\
# HELP outbox_pending_messages Rows due and unpublished
# TYPE outbox_pending_messages gauge
outbox_pending_messages{destination="/topic/a"} 2.0
outbox_pending_messages{destination="/topic/b"} 3.0
"""


def test_a_metric_is_summed_over_pods_and_labels() -> None:
    assert total([EXPOSITION, EXPOSITION], "outbox_pending_messages") == 10
    assert total([EXPOSITION], "outbox_pending_messages", destination="/topic/b") == 3


def test_a_metric_that_no_pod_has_is_unknown_and_not_zero() -> None:
    assert total([EXPOSITION], "outbox_failed_messages") is None
    assert total([], "outbox_pending_messages") is None
