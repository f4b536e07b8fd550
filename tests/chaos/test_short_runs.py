"""The fault ledger in a minute: what `make chaos` does for ten, with fewer faults and messages.

The seed is the same in each run unless SEED says otherwise, and is printed; `make chaos` takes any. Nothing here
depends on how fast the machine is: a slow one takes longer, up to the deadlines, for the same faults and messages.
"""

from __future__ import annotations

from tests.chaos.run import Wish, run
from tests.chaos.short import SEED, carried_out
from tests.chaos.stage import ours


def _run(brokers: int, faults: int, messages: int, seconds: float) -> None:
    wish = Wish(
        library=ours(),
        brokers=brokers,
        seed=SEED,
        faults=faults,
        messages=messages,
        seconds=seconds,
        settle=90,
        fails=50,
    )
    verdict = carried_out(run, wish).verdict
    assert (len(verdict.lost), len(verdict.doubled), verdict.stuck_count) == (0, 0, 0)


def test_nothing_is_lost_doubled_or_stuck_with_one_broker() -> None:
    _run(brokers=1, faults=20, messages=1200, seconds=22)


def test_nothing_is_lost_doubled_or_stuck_with_a_cluster_that_loses_nodes() -> None:
    _run(brokers=3, faults=14, messages=1000, seconds=20)
