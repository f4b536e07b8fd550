"""An operator that is down, restarted or one of several: nothing is lost, nothing is written twice."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from outbox_operator.leader import TAKE_OVER_SECONDS
from tests.cluster.conftest import CRDS
from tests.cluster.manifests import publisher
from tests.cluster.operator_process import Cluster, OperatorProcess
from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.operator_process import Cluster


@pytest.fixture
def operator(own: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator of the test's own for the namespace `own`."""
    with OperatorProcess(own, tmp_path, own.namespace) as process:
        yield process


def is_there(_: object) -> bool:
    return True


def test_what_happened_while_the_operator_was_down_is_made_up_for(own: Cluster, operator: OperatorProcess) -> None:
    own.apply(publisher("edited"), publisher("robbed"), publisher("deleted"))
    for name in ("edited", "robbed", "deleted"):
        own.wait("deployment", f"{name}-pub", "exists", is_there)
    assert operator.stop() == 0
    own.apply(publisher("edited", image="shop:2"), publisher("new"))
    own.kubectl("delete", "deployment", "robbed-pub")
    own.kubectl("delete", "obpub", "deleted")
    operator.start()
    for name in ("robbed", "new"):
        own.wait("deployment", f"{name}-pub", "exists", is_there)
    own.wait(
        "deployment",
        "edited-pub",
        "the new image",
        lambda found: found["spec"]["template"]["spec"]["containers"][0]["image"] == "shop:2",
    )
    own.wait_gone("deployment", "deleted-pub")


def test_a_restart_writes_nothing(own: Cluster, operator: OperatorProcess) -> None:
    own.apply(publisher("orders"))
    own.make_ready("djangooutbox.io/publisher=orders", 1)
    own.wait_condition("obpub", "orders", "Ready", "True", "WorkersAvailable")
    assert operator.stop() == 0
    names = (("obpub", "orders"), ("deployment", "orders-pub"))
    before = [own.must_get(*item)["metadata"]["resourceVersion"] for item in names]
    operator.start()
    operator.wait_looks(3, "Publisher")
    assert [own.must_get(*item)["metadata"]["resourceVersion"] for item in names] == before
    assert operator.metric("outbox_operator_api_requests_total", verb="PATCH") == 0
    assert operator.metric("outbox_operator_api_requests_total", verb="POST", resource="events") == 0


def test_deletion_leaves_nothing_and_is_not_blocked_with_the_operator_gone(
    own: Cluster, operator: OperatorProcess
) -> None:
    selector = "djangooutbox.io/publisher=orders"
    own.apply(publisher("orders", replicas=2))
    own.wait("pdb", "orders-pub", "exists", is_there)
    own.make_ready(selector, 2)
    assert operator.stop() == 0
    workers = {pod["metadata"]["uid"] for pod in own.list("pods", selector)}
    own.kubectl("delete", "obpub", "orders", "--timeout=20s")
    assert len(workers) == 2
    for kind in ("deployment", "pdb"):
        own.wait_gone(kind, "orders-pub")
    wait_until("no pods", lambda: not own.list("pods", selector), seconds=60)


def test_a_sigterm_hands_the_lease_over_at_once_to_the_operator_that_stands_by(
    own: Cluster, operator: OperatorProcess, tmp_path: Path
) -> None:
    second = OperatorProcess(own, tmp_path, own.namespace, pod_name="operator-2").start(working=False)
    try:
        assert second.metric("outbox_operator_leader") == 0
        assert (second.http("/healthz"), second.http("/readyz")) == ("ok", "ok")
        assert operator.stop() == 0
        second.wait_log("working on", seconds=5)
        own.apply(publisher("orders"))
        own.wait("deployment", "orders-pub", "exists", is_there)
    finally:
        second.kill()


def test_a_second_operator_takes_over_within_15_seconds_of_a_kill(
    own: Cluster, operator: OperatorProcess, tmp_path: Path
) -> None:
    second = OperatorProcess(own, tmp_path, own.namespace, pod_name="operator-2").start(working=False)
    try:
        second.wait_log("waiting for the lead")
        operator.kill()
        own.apply(publisher("orders"))
        before = lease(own)
        assert before["holderIdentity"] == "operator-1"
        own.wait("deployment", "orders-pub", "exists", is_there)
        after = lease(own)
        assert after["holderIdentity"] == "operator-2"
        # From the last sign of life to the take-over: that is longer than from the kill.
        assert moment(after["acquireTime"]) - moment(before["renewTime"]) < TAKE_OVER_SECONDS
    finally:
        second.kill()


def lease(own: Cluster) -> dict[str, str]:
    found: dict[str, str] = own.must_get("lease", "outbox-operator")["spec"]
    return found


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_an_operator_that_was_frozen_past_its_lease_writes_nothing_when_it_wakes(
    own: Cluster, operator: OperatorProcess, tmp_path: Path
) -> None:
    own.apply(publisher("orders"))
    own.wait("deployment", "orders-pub", "exists", is_there)
    second = OperatorProcess(own, tmp_path, own.namespace, pod_name="operator-2").start(working=False)
    try:
        operator.send(signal.SIGSTOP)
        second.wait_log("working on", seconds=40)
        second.send(signal.SIGSTOP)
        # Both are frozen: whatever is written from here on would be the work of the first, which lost its lead.
        own.kubectl("scale", "deployment", "orders-pub", "--replicas=5")
        before = own.must_get("deployment", "orders-pub")["metadata"]["generation"]
        operator.send(signal.SIGCONT)
        assert operator.exit_code() == 1
        found = own.must_get("deployment", "orders-pub")
        assert (found["metadata"]["generation"], found["spec"]["replicas"]) == (before, 5)
        second.send(signal.SIGCONT)
    finally:
        second.kill()


def test_an_operator_that_loses_the_lead_ends(own: Cluster, operator: OperatorProcess) -> None:
    def taken_by_somebody_else() -> bool:
        # Whoever has taken a Lease keeps renewing it.
        spec = {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600, "renewTime": _now()}
        own.patch("lease", "outbox-operator", {"spec": spec})
        return not operator.is_alive()

    wait_until("the operator has ended", taken_by_somebody_else, seconds=60, every=1)
    assert operator.exit_code() == 1


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())


def test_an_api_server_that_restarts_is_ridden_out_by_an_operator_of_the_whole_cluster(
    private_cluster: Cluster, tmp_path: Path
) -> None:
    private_cluster.kubectl("create", "namespace", "shop")
    shop = private_cluster.inside("shop")
    # An hour between full looks: what is seen after the restart was delivered by the watches.
    alone = {"leader_election": "false", "resync_seconds": "3600"}
    with OperatorProcess(private_cluster, tmp_path, **alone) as operator:
        shop.apply(publisher("orders"))
        shop.wait("deployment", "orders-pub", "exists", is_there)
        private_cluster.server.restart()
        wait_until(
            "the operator is ready again",
            lambda: operator.http("/readyz") == "ok",
            seconds=30,
            state=lambda: tail(operator.log),
        )
        shop.apply(publisher("orders", replicas=2), publisher("second"))
        shop.wait("deployment", "orders-pub", "2 replicas", lambda found: found["spec"]["replicas"] == 2)
        shop.wait("deployment", "second-pub", "exists", is_there)
        shop.kubectl("delete", "deployment", "orders-pub")
        shop.wait("deployment", "orders-pub", "exists", is_there)
        operator.assert_alive()
        assert operator.http("/healthz") == "ok"


def test_an_operator_that_is_there_before_its_crds_waits_for_them(bare_cluster: Cluster, tmp_path: Path) -> None:
    with OperatorProcess(bare_cluster, tmp_path, leader_election="false", resync_seconds="3600") as operator:
        operator.wait_log("waiting until everything can be listed")
        assert operator.http("/healthz") == "ok"
        bare_cluster.kubectl("apply", "--server-side", "-f", str(CRDS))
        bare_cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
        bare_cluster.apply(publisher("orders"))
        bare_cluster.wait("deployment", "orders-pub", "exists", is_there)
