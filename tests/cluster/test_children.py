"""The objects beside the Deployment: made, kept, removed, and never taken from anybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config

from outbox_operator.errors import UnknownKindError
from outbox_operator.kube import Api, Type
from tests.cluster.manifests import publisher, subscription
from tests.cluster.predicates import exists

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster, OperatorProcess


def unavailable(number: int) -> Any:
    return lambda budget: budget["spec"]["maxUnavailable"] == number


def test_two_workers_or_more_get_a_disruption_budget_and_one_loses_it(served: Cluster, name: str) -> None:
    served.apply(subscription(name, replicas=2))
    budget = served.wait("pdb", f"{name}-sub", "exists", exists)
    assert budget["spec"]["selector"] == {"matchLabels": {"djangooutbox.io/subscription": name}}
    assert budget["metadata"]["ownerReferences"][0]["name"] == name
    served.kubectl("scale", "obsub", name, "--replicas=1")
    served.wait_gone("pdb", f"{name}-sub")
    assert f"Removed PodDisruptionBudget {name}-sub" in served.wait_event(name, "RemovedPodDisruptionBudget")


def test_an_edited_or_deleted_budget_is_put_back_and_counted(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    def corrections() -> float:
        return shared_operator.metric("outbox_operator_drift_corrections_total", child="PodDisruptionBudget")

    served.apply(publisher(name, replicas=2))
    first = served.wait("pdb", f"{name}-pub", "exists", exists)
    before = corrections()
    served.patch("pdb", f"{name}-pub", {"spec": {"maxUnavailable": 2}})
    served.wait("pdb", f"{name}-pub", "as it was", unavailable(1))
    assert "maxUnavailable changed from 2 to 1" in served.wait_event(name, "RestoredPodDisruptionBudget")
    served.kubectl("delete", "pdb", f"{name}-pub")
    served.wait("pdb", f"{name}-pub", "another", lambda found: found["metadata"]["uid"] != first["metadata"]["uid"])
    shared_operator.wait_looks(1, "Publisher")
    assert corrections() == before + 2


def test_a_budget_of_somebody_else_is_told_and_not_touched(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.kubectl("create", "pdb", f"{name}-pub", "--selector=app=web", "--min-available=1")
    before = served.must_get("pdb", f"{name}-pub")["metadata"]["uid"]
    served.apply(publisher(name, replicas=2))
    served.make_ready(f"djangooutbox.io/publisher={name}", 2)
    ready = served.wait_condition("obpub", name, "Ready", "False", "NameConflict")
    assert f"PodDisruptionBudget {name}-pub is needed" in ready["message"]
    shared_operator.wait_looks(3, "Publisher")
    now = served.must_get("pdb", f"{name}-pub")
    assert (now["metadata"]["uid"], now["spec"].get("minAvailable")) == (before, 1)
    served.kubectl("delete", "pdb", f"{name}-pub")
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.wait("pdb", f"{name}-pub", "ours", unavailable(1))


def test_a_deleted_resource_takes_its_budget_along(served: Cluster, name: str) -> None:
    served.apply(publisher(name, replicas=2))
    served.wait("pdb", f"{name}-pub", "exists", exists)
    served.kubectl("delete", "obpub", name)
    served.wait_gone("pdb", f"{name}-pub")


def test_a_budget_is_not_written_while_nothing_changes(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.apply(publisher(name, replicas=2))
    served.make_ready(f"djangooutbox.io/publisher={name}", 2)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    # The disruption controller writes the status now and then; the generation is that of the spec.
    before = served.must_get("pdb", f"{name}-pub")["metadata"]
    shared_operator.wait_looks(20, "Publisher")
    after = served.must_get("pdb", f"{name}-pub")["metadata"]
    assert (after["uid"], after["generation"]) == (before["uid"], before["generation"])


@pytest.mark.parametrize("group", ["keda.sh", "apps"], ids=["a group that is not installed", "a kind of no group"])
def test_the_api_server_tells_a_kind_it_does_not_know_from_an_object_that_is_missing(
    served: Cluster, group: str
) -> None:
    async def ask() -> Any:
        configuration = Configuration()
        await load_kube_config(str(served.server.kubeconfig), client_configuration=configuration)
        api = Api(ApiClient(configuration))
        try:
            with pytest.raises(UnknownKindError):
                await api.get_of_known_kind(Type(group, "v1", "nosuchthings"), "default", "x")
            return await api.get_of_known_kind(Type("apps", "v1", "deployments"), "nowhere", "x")
        finally:
            await api.close()

    assert asyncio.run(ask()) is None
