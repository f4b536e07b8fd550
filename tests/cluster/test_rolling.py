"""Rolling out is gentle: the real Deployment and disruption controllers, with the kubelet played by the test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.manifests import publisher
from tests.cluster.operator_process import SECONDS
from tests.rig import RigError
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster


def pods(cluster: Cluster, name: str) -> dict[str, str]:
    """Images of the workers' pods by name, without those that are going."""
    found = cluster.list("pods", f"djangooutbox.io/publisher={name}")
    return {
        pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"]
        for pod in found
        if "deletionTimestamp" not in pod["metadata"]
    }


def wait_pods(cluster: Cluster, name: str, *images: str) -> dict[str, str]:
    """Wait until there are pods of just these images."""

    def those() -> dict[str, str] | None:
        present = pods(cluster, name)
        return present if sorted(present.values()) == sorted(images) else None

    return wait_until(f"pods of {images}", those, seconds=SECONDS, state=lambda: str(pods(cluster, name)))


def evict(cluster: Cluster, pod: str) -> None:
    """Ask for what a node drain asks for."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{cluster.namespace}/pods/{pod}/eviction"
    cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def budget_allows(number: int) -> Any:
    """So many workers may be stopped, as the disruption controller has counted for the present spec."""

    def allows(budget: dict[str, Any]) -> bool:
        status = budget.get("status", {})
        seen = status.get("observedGeneration") == budget["metadata"]["generation"]
        return bool(seen and status.get("disruptionsAllowed") == number)

    return allows


def test_surge_has_a_new_worker_available_before_an_old_one_goes(served: Cluster, name: str) -> None:
    selector = f"djangooutbox.io/publisher={name}"
    served.apply(publisher(name))
    served.make_ready(selector, 1)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.apply(publisher(name, image="shop:2"))
    wait_pods(served, name, "shop:1", "shop:2")
    # As many as are wanted go on, so that nothing is amiss meanwhile.
    served.wait_condition("obpub", name, "Progressing", "True", "RollingOut")
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.make_ready(selector, 2)
    wait_pods(served, name, "shop:2")
    served.wait_condition("obpub", name, "Progressing", "False", "RolloutComplete")


def test_a_roll_past_its_deadline_is_told_and_goes_on_once_its_cause_is_gone(served: Cluster, name: str) -> None:
    selector = f"djangooutbox.io/publisher={name}"
    served.apply(publisher(name, progressDeadlineSeconds=2))
    served.wait_condition("obpub", name, "Progressing", "False", "ProgressDeadlineExceeded")
    served.wait_condition("obpub", name, "Ready", "False", "ProgressDeadlineExceeded")
    served.wait_event(name, "ProgressDeadlineExceeded")
    served.make_ready(selector, 1)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.wait_condition("obpub", name, "Progressing", "False", "RolloutComplete")


def test_a_node_drain_stops_one_worker_at_a_time(served: Cluster, name: str) -> None:
    selector = f"djangooutbox.io/publisher={name}"
    served.apply(publisher(name, replicas=2))
    served.make_ready(selector, 2)
    served.wait("pdb", f"{name}-pub", "lets one go", budget_allows(1))
    first, second = pods(served, name)
    evict(served, first)
    served.wait("pdb", f"{name}-pub", "lets none go", budget_allows(0))
    with pytest.raises(RigError, match="disruption budget"):
        evict(served, second)
    # Its successor is there, and the drain goes on.
    wait_pods(served, name, "shop:1", "shop:1")
    served.make_ready(selector, 2)
    served.wait("pdb", f"{name}-pub", "lets one go again", budget_allows(1))
    evict(served, second)
