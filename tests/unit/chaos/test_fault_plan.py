"""The fault plan is a function of its seed, and a full one holds every fault that there is."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from tests.chaos.plan import Cast, Kind, make_plan

ONE = Cast(["relay-1", "relay-2", "consumer-1", "consumer-2"], ["producer-1"], ["broker"], lease=8, heartbeat=2)
THREE = Cast(ONE.workers, ONE.producers, ["broker-1", "broker-2", "broker-3"], lease=8, heartbeat=2)


@pytest.mark.parametrize("cast", [ONE, THREE])
def test_the_same_seed_gives_the_same_plan(cast: Cast) -> None:
    assert make_plan(7, 340, 540, cast) == make_plan(7, 340, 540, cast)


def test_another_seed_gives_another_plan() -> None:
    assert make_plan(7, 340, 540, ONE) != make_plan(8, 340, 540, ONE)


@pytest.mark.parametrize("count", [20, 24, 340])
@pytest.mark.parametrize("cast", [ONE, THREE])
def test_a_plan_has_as_many_faults_as_asked_for_all_of_them_in_time(cast: Cast, count: int) -> None:
    plan = make_plan(3, count, 100, cast)
    assert len(plan) == count
    assert all(0 <= fault.at <= 100 for fault in plan)
    assert all(earlier.at <= later.at for earlier, later in pairwise(plan))


def test_a_full_plan_does_everything_to_everyone() -> None:
    plan = make_plan(11, 340, 540, THREE)
    wires, processes = {Kind.CUT, Kind.STALL, Kind.HALF_OPEN, Kind.SLOW}, {Kind.KILL, Kind.RESTART, Kind.FREEZE}
    for worker in THREE.workers:
        assert {fault.kind for fault in plan if fault.target == worker and not fault.line} >= processes
        for line in ("broker", "database"):
            assert {fault.kind for fault in plan if fault.target == worker and fault.line == line} == wires
    for servers in ("broker", "database"):
        assert {fault.kind for fault in plan if fault.name == servers and not fault.line} >= processes
    assert {fault.target for fault in plan if fault.lane == "broker"} == set(THREE.brokers)
    assert {fault.detail for fault in plan if fault.kind is Kind.HALF_OPEN} == {
        "no end knows",
        "the server knows",
        "the worker knows",
    }


def test_some_workers_sleep_past_their_lease() -> None:
    plan = make_plan(5, 340, 540, ONE)
    long_sleeps = [fault for fault in plan if fault.kind is Kind.LONG_FREEZE and fault.target != "broker"]
    assert long_sleeps
    assert all(fault.seconds > ONE.lease for fault in long_sleeps)


def test_nodes_of_a_cluster_share_a_lane_so_that_two_are_never_away_at_once() -> None:
    plan = make_plan(5, 340, 540, THREE)
    assert {fault.lane for fault in plan if fault.target.startswith("broker")} == {"broker"}
    every_node = [fault for fault in plan if fault.detail == "all nodes"]
    assert every_node
    assert {fault.kind for fault in every_node} == {Kind.FREEZE}


def test_a_short_plan_still_takes_two_nodes_from_a_cluster() -> None:
    plan = make_plan(4, 16, 20, THREE)
    assert len({fault.target for fault in plan if fault.lane == "broker"}) == 2
    assert len(plan) == 16


def test_a_short_plan_still_has_each_kind_of_process_fault() -> None:
    counts = Counter(fault.kind for fault in make_plan(2, 24, 60, ONE) if fault.lane in ONE.workers)
    assert counts.keys() == {Kind.KILL, Kind.RESTART, Kind.FREEZE, Kind.LONG_FREEZE}
