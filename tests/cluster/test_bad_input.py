"""Whatever is in etcd is reported as a condition with a reason, and holds up nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from outbox_operator.api.resource import GROUP
from tests.cluster.conftest import CRDS
from tests.cluster.manifests import publisher, subscription
from tests.cluster.operator_process import SECONDS, OperatorProcess
from tests.cluster.predicates import exists
from tests.rig import RigError
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.operator_process import Cluster

OLDER = "v1alpha0"


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
    ready = served.wait_condition("obpub", f"{name}-big", "Ready", "False", "InvalidSpec")
    assert "It is too large to be stored" in ready["message"]


def test_what_kubectl_applies_without_validating_is_refused_or_loses_what_nobody_knows(
    served: Cluster, name: str
) -> None:
    refused = publisher(f"{name}-x", replicas="many")
    with pytest.raises(RigError, match=r"spec\.replicas: Invalid value"):
        served.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(refused))
    served.kubectl("apply", "--validate=false", "-f", "-", stdin=json.dumps(publisher(name, colour="blue")))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    assert "colour" not in served.must_get("obpub", name)["spec"]


def test_objects_stored_in_an_older_version_are_served_and_those_that_break_a_rule_since_are_reported(
    bare_cluster: Cluster, tmp_path: Path
) -> None:
    crds = [yaml.safe_load(path.read_text()) for path in sorted(CRDS.glob("*.yaml"))]
    _install(bare_cluster, [{**crd, "spec": {**crd["spec"], "versions": [_older(crd)]}} for crd in crds])
    stored: dict[str, Any] = {
        "odd": {**publisher("odd"), "spec": {"image": ["shop:1"], "workloadRef": "web", "template": 5}},
        "bare": {**subscription("bare"), "spec": {"image": "shop:1", "unknown": {"a": 1}}},
        "null": {**publisher("null"), "spec": {"image": "shop:1", "workloadRef": None, "replicas": "many"}},
        "short": publisher("short", terminationGracePeriodSeconds=5),
        "long": publisher("l" * 253),
        "old": publisher("old", terminationGracePeriodSeconds=60),
    }
    for manifest in stored.values():
        older = {**manifest, "apiVersion": f"{GROUP}/{OLDER}"}
        bare_cluster.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(older))
    # What is stored names its version, which therefore stays in the CRD.
    kept = [[*crd["spec"]["versions"], {**_older(crd), "served": False, "storage": False}] for crd in crds]
    _install(
        bare_cluster,
        [{**crd, "spec": {**crd["spec"], "versions": versions}} for crd, versions in zip(crds, kept, strict=True)],
    )
    bare_cluster.apply(publisher("sound"))
    with OperatorProcess(bare_cluster, tmp_path, leader_election="false") as operator:
        for name in ("sound", "old"):
            bare_cluster.wait("deployment", f"{name}-pub", "exists", exists)
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


def _install(cluster: Cluster, crds: list[dict[str, Any]]) -> None:
    """Apply CRDs, and wait until just the versions that they serve can be asked for."""
    for crd in crds:
        cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(crd))
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    wanted = sorted(f"{GROUP}/{item['name']}" for item in crds[0]["spec"]["versions"] if item["served"])

    def served() -> list[str]:
        return sorted(line for line in cluster.kubectl("api-versions").splitlines() if line.startswith(f"{GROUP}/"))

    wait_until(f"{wanted} are served", lambda: served() == wanted, seconds=SECONDS, state=lambda: str(served()))


def _older(crd: dict[str, Any]) -> dict[str, Any]:
    """The version of a CRD as an older one might have been: anything goes."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    present = crd["spec"]["versions"][0]
    return {
        **{name: value for name, value in present.items() if name != "selectableFields"},
        "name": OLDER,
        "schema": {"openAPIV3Schema": anything},
        "subresources": {"status": {}},
    }
