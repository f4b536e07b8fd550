"""The operator's chaos in about a minute and a half: what `make chaos-operator` does for thirty.

The seed is the same in each run unless SEED says otherwise, and is printed. Nothing here depends on how fast the
machine is: a slow one takes longer, up to the deadlines, for the same faults and changes.
"""

from __future__ import annotations

from tests.chaos.operator.plan import API_SERVER
from tests.chaos.operator.run import Wish, run
from tests.chaos.plan import Kind
from tests.chaos.short import SEED, carried_out

WISH = Wish(seed=SEED, faults=29, seconds=28, resources=12, settle=180)


def test_the_cluster_is_what_the_resources_say_after_everything_broke_and_one_replica_wrote_at_a_time() -> None:
    report = carried_out(run, WISH)
    # Of so many faults one is for the API server; its restarts in good order take half a minute each.
    assert report.faults[API_SERVER] == {Kind.KILL: 1}
