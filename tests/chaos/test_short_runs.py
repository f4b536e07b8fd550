"""The fault ledger in a minute: what `make chaos` does for ten, with fewer faults and messages.

The seed is the same in each run unless SEED says otherwise; `make chaos` takes any.
"""

from __future__ import annotations

import os

import pytest

from tests.chaos.run import Wish, run
from tests.chaos.stage import ours
from tests.rig.waiting import MissingProgramError

SEED = int(os.environ.get("SEED", "41"))


def _run(brokers: int, faults: int, messages: int, seconds: float) -> None:
    wish = Wish(
        library=ours(),
        brokers=brokers,
        seed=SEED,
        faults=faults,
        messages=messages,
        seconds=seconds,
        settle=90,
    )
    try:
        report = run(wish)
    except MissingProgramError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    print("\n".join(report.lines()))
    assert report.good, "\n".join(report.lines())
    assert sum(counter.total() for counter in report.faults.values()) == faults


def test_nothing_is_lost_doubled_or_stuck_with_one_broker() -> None:
    _run(brokers=1, faults=24, messages=5000, seconds=45)


def test_nothing_is_lost_doubled_or_stuck_with_a_cluster_that_loses_nodes() -> None:
    _run(brokers=3, faults=20, messages=3000, seconds=40)
