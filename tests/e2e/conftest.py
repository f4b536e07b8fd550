"""The shop on a real node, for every test of this tier.

The cluster, the images, the operator and the shop come up once a session, by the demo's own steps. The `shop` fixture
puts back whatever a test before has taken away, so that the tests may run in any order. A cluster that was up before
the session stays up; one that the session started goes away with it unless KEEP_CLUSTER is set. With KEEP_IMAGES set, a
cluster that has the shop already keeps its images, so that work on the tests need not wait for builds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from examples.shop.demo import evidence, steps
from examples.shop.demo.cluster import Cluster
from tests.e2e.actions import restore
from tests.rig import Rig
from tests.rig.waiting import MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

HERE = Path(__file__).parent
# The first test waits for the cluster, which may have to be built; the others have deadlines of their own.
SECONDS_A_TEST = 30 * 60


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder the time that building a cluster can take."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(SECONDS_A_TEST))


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return the cluster with everything in it, as the demo leaves it before it places orders."""
    rig = Rig()
    keep = bool(os.environ.get("KEEP_CLUSTER")) or rig.is_up()
    try:
        found = Cluster(rig)
        _bring_up(found)
        yield found
    finally:
        if not keep:
            rig.down()


@pytest.fixture
def shop(cluster: Cluster) -> Cluster:
    """Return the cluster with operator, services, Publisher and Subscription as they should be, all Ready."""
    restore(cluster)
    return cluster


def _bring_up(cluster: Cluster) -> None:
    try:
        steps.everything(cluster)
    except MissingProgramError as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the node cannot be started: {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the state of the cluster to the report of a test that failed."""
    report = yield
    cluster: Any = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(cluster, Cluster):
        report.sections.append(("The cluster when the test had failed", evidence.collect(cluster)))
    return report
