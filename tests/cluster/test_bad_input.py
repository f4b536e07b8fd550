"""Whatever is in etcd is reported as a condition with a reason, and holds up nothing else."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.conftest import CRDS
from tests.cluster.manifests import publisher, subscription
from tests.cluster.operator_process import OperatorProcess
from tests.cluster.predicates import exists
from tests.rig import RigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.operator_process import Cluster


def test_the_younger_of_two_subscriptions_with_one_queue_and_different_callbacks_is_not_started(
    served: Cluster, name: str
) -> None:
    queue = f"queue-{name}"
    served.apply(subscription(f"{name}-a", queue=queue))
    served.wait("deployment", f"{name}-a-sub", "exists", exists)
    served.apply(subscription(f"{name}-b", queue=queue, callback="billing.callbacks.other"))
    ready = served.wait_condition("obsub", f"{name}-b", "Ready", "False", "QueueConflict")
    assert f"Subscription {name}-a is older" in ready["message"]
    assert served.get("deployment", f"{name}-b-sub") is None
    served.wait_event(f"{name}-b", "QueueConflict")
    served.kubectl("delete", "obsub", f"{name}-a")
    served.wait("deployment", f"{name}-b-sub", "exists", exists)


def test_a_queue_that_is_meant_to_be_shared_can_be(served: Cluster, name: str) -> None:
    queue = f"queue-{name}"
    served.apply(subscription(f"{name}-a", queue=queue))
    served.wait("deployment", f"{name}-a-sub", "exists", exists)
    served.apply(subscription(f"{name}-b", queue=queue, callback="billing.callbacks.other"))
    served.wait_condition("obsub", f"{name}-b", "Ready", "False", "QueueConflict")
    served.kubectl("annotate", "obsub", f"{name}-b", "djangooutbox.io/shared-queue=Allowed")
    served.wait("deployment", f"{name}-b-sub", "exists", exists)


def test_a_template_that_reaches_the_node_is_refused_with_its_fields(served: Cluster, name: str) -> None:
    volumes = [{"name": "root", "hostPath": {"path": "/"}}]
    containers = [{"name": "worker", "securityContext": {"privileged": True}}]
    served.apply(publisher(name, template={"spec": {"volumes": volumes, "containers": containers, "hostPID": True}}))
    ready = served.wait_condition("obpub", name, "Ready", "False", "HostAccessRefused")
    for field in ("hostPID", "volumes[root].hostPath", "containers[worker].securityContext.privileged"):
        assert field in ready["message"]
    assert served.get("deployment", f"{name}-pub") is None


def test_a_workload_ref_to_the_resources_own_deployment_is_refused(served: Cluster, name: str) -> None:
    served.apply(publisher(name, workloadRef={"name": f"{name}-pub"}))
    ready = served.wait_condition("obpub", name, "Ready", "False", "WorkloadRefused")
    assert "the one that this Publisher itself makes" in ready["message"]


def test_a_template_of_a_megabyte_is_reported_and_delays_no_other_resource(served: Cluster, name: str) -> None:
    variables = [{"name": f"BIG_{number}", "value": "x" * 100_000} for number in range(11)]
    big = publisher(f"{name}-big", template={"spec": {"containers": [{"name": "worker", "env": variables}]}})
    served.kubectl("create", "-f", "-", stdin=json.dumps(big))
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    served.wait("obpub", f"{name}-big", "a condition", lambda obj: obj.get("status", {}).get("conditions"))


def test_what_kubectl_applies_without_validating_is_refused_or_loses_what_nobody_knows(
    served: Cluster, name: str
) -> None:
    refused = publisher(f"{name}-x", replicas="many")
    with pytest.raises(RigError, match=r"spec\.replicas: Invalid value"):
        served.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(refused))
    served.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(publisher(name, colour="blue")))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    assert "colour" not in served.must_get("obpub", name)["spec"]


def test_objects_stored_before_the_schema_knew_a_rule_are_reported_and_others_are_served(
    bare_cluster: Cluster, tmp_path: Path
) -> None:
    for path in sorted(CRDS.glob("*.yaml")):
        bare_cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(_permissive(path)))
    bare_cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    stored: dict[str, Any] = {
        "odd": {**publisher("odd"), "spec": {"image": ["shop:1"], "workloadRef": "web", "template": 5}},
        "bare": {**subscription("bare"), "spec": {"image": "shop:1", "unknown": {"a": 1}}},
        "null": {**publisher("null"), "spec": {"image": "shop:1", "workloadRef": None, "replicas": "many"}},
        "short": publisher("short", terminationGracePeriodSeconds=5),
        "long": publisher("l" * 253),
    }
    for manifest in stored.values():
        bare_cluster.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(manifest))
    bare_cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    bare_cluster.apply(publisher("sound"))
    with OperatorProcess(bare_cluster, tmp_path, leader_election="false") as operator:
        bare_cluster.wait("deployment", "sound-pub", "exists", exists)
        for kind, name, words in (
            ("obpub", "odd", "spec.image"),
            ("obsub", "bare", "spec.callback: Required value"),
            ("obpub", "null", "spec."),
            ("obpub", "short", "terminationGracePeriodSeconds must exceed 30"),
        ):
            message = bare_cluster.wait_event(name, "InvalidSpec")
            assert words in message, (kind, name)
        assert "at most 40 characters" in bare_cluster.wait_event("l" * 253, "InvalidSpec")
        bare_cluster.wait_condition("obpub", "short", "Ready", "False", "InvalidSpec")
        operator.wait_looks(10, "Publisher")
        operator.assert_alive()
        assert operator.http("/healthz") == "ok"
        bare_cluster.patch("obpub", "short", {"spec": {"terminationGracePeriodSeconds": 60}})
        bare_cluster.wait("deployment", "short-pub", "exists", exists)
        for kind, name in (("obpub", "odd"), ("obsub", "bare"), ("obpub", "l" * 253)):
            bare_cluster.kubectl("delete", kind, name, "--timeout=20s")


def _permissive(path: Path) -> dict[str, Any]:
    """The CRD as an older version might have been: anything goes."""
    crd: dict[str, Any] = copy.deepcopy(yaml.safe_load(path.read_text()))
    version = crd["spec"]["versions"][0]
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version["schema"]["openAPIV3Schema"] = anything
    version.pop("selectableFields", None)
    version["subresources"] = {"status": {}}
    return crd
