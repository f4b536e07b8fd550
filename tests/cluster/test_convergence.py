"""The workers converge to what the resources say, and nobody's objects are touched without need."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME, PUBLISHER, Key
from outbox_operator.build.labels import object_labels
from outbox_operator.diff import first_difference
from outbox_operator.plan import Observed, plan
from tests.cluster.manifests import publisher, subscription, web
from tests.cluster.operator_process import SECONDS
from tests.cluster.predicates import exists, image, replicas
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster, OperatorProcess


def test_a_created_resource_becomes_the_deployment_that_was_planned(served: Cluster, name: str) -> None:
    served.apply(subscription(name, replicas=2, resources={"requests": {"cpu": "1000m"}}), publisher(name))
    for kind, suffix in (("Subscription", "sub"), ("Publisher", "pub")):
        live = served.wait("deployment", f"{name}-{suffix}", "exists", exists)
        resource = parse(KIND_BY_NAME[kind], served.must_get(kind, name))
        wanted = plan(resource, Observed()).deployment
        assert wanted is not None
        assert first_difference(wanted, live) is None


def test_a_deleted_deployment_comes_back_at_once(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    first = served.wait("deployment", f"{name}-pub", "exists", exists)
    served.kubectl("delete", "deployment", f"{name}-pub", "--wait=false")
    served.wait(
        "deployment", f"{name}-pub", "another one", lambda found: found["metadata"]["uid"] != first["metadata"]["uid"]
    )
    assert "it had been deleted" in served.wait_event(name, "RestoredDeployment")


def test_an_edited_deployment_is_put_back(served: Cluster, name: str, shared_operator: OperatorProcess) -> None:
    served.apply(publisher(name, replicas=2))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    before = shared_operator.metric("outbox_operator_drift_corrections_total")
    served.kubectl("scale", "deployment", f"{name}-pub", "--replicas=7")
    served.kubectl("set", "image", f"deployment/{name}-pub", "worker=evil:1")
    served.wait("deployment", f"{name}-pub", "2 replicas", replicas(2))
    served.wait("deployment", f"{name}-pub", "its image", image("shop:1"))
    served.wait_event(name, "RestoredDeployment")
    assert shared_operator.metric("outbox_operator_drift_corrections_total") > before


def test_a_deleted_resource_takes_its_deployment_along(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    served.kubectl("delete", "obpub", name)
    served.wait_gone("deployment", f"{name}-pub")


def test_a_deployment_left_by_an_orphaning_deletion_is_adopted(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    first = served.wait("deployment", f"{name}-pub", "exists", exists)
    served.kubectl("delete", "obpub", name, "--cascade=orphan")
    served.wait("deployment", f"{name}-pub", "no owner", lambda found: not found["metadata"].get("ownerReferences"))
    served.apply(publisher(name))
    adopted = served.wait("deployment", f"{name}-pub", "owner", lambda found: found["metadata"].get("ownerReferences"))
    assert adopted["metadata"]["uid"] == first["metadata"]["uid"]


def test_a_budget_left_by_an_orphaning_deletion_is_removed_when_it_is_not_wanted_any_more(
    served: Cluster, name: str
) -> None:
    served.apply(publisher(name, replicas=2))
    served.wait("poddisruptionbudget", f"{name}-pub", "exists", exists)
    served.kubectl("delete", "obpub", name, "--cascade=orphan")
    served.wait(
        "poddisruptionbudget", f"{name}-pub", "no owner", lambda found: not found["metadata"].get("ownerReferences")
    )
    served.apply(publisher(name, replicas=1))
    served.wait_gone("poddisruptionbudget", f"{name}-pub")


def test_nothing_is_left_on_the_users_objects(served: Cluster, name: str) -> None:
    served.apply(publisher(name), subscription(name))
    for kind in ("obpub", "obsub"):
        found = served.wait(kind, name, "a status", lambda obj: obj.get("status"))
        assert "finalizers" not in found["metadata"]
        assert "annotations" not in found["metadata"]


def test_kubectl_rollout_restart_survives(served: Cluster, name: str, shared_operator: OperatorProcess) -> None:
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    served.kubectl("rollout", "restart", f"deployment/{name}-pub")
    served.apply(publisher(name, image="shop:2"))
    found = served.wait("deployment", f"{name}-pub", "the new image", image("shop:2"))
    assert "kubectl.kubernetes.io/restartedAt" in found["spec"]["template"]["metadata"]["annotations"]


def test_suspending_stops_the_workers_and_resuming_starts_them(served: Cluster, name: str) -> None:
    served.apply(subscription(name, replicas=3))
    served.wait("deployment", f"{name}-sub", "3 replicas", replicas(3))
    served.patch("obsub", name, {"spec": {"state": "Suspended"}})
    served.wait("deployment", f"{name}-sub", "no replicas", replicas(0))
    served.wait_condition("obsub", name, "Suspended", "True", "Suspended")
    served.patch("obsub", name, {"spec": {"state": "Running"}})
    served.wait("deployment", f"{name}-sub", "3 replicas", replicas(3))
    reasons = [reason for reason, _ in served.events(name)]
    served.wait_event(name, "Resumed")
    assert reasons.count("Suspended") == 1


def test_kubectl_scale_survives(served: Cluster, name: str, shared_operator: OperatorProcess) -> None:
    served.apply(subscription(name, replicas=1))
    served.wait("deployment", f"{name}-sub", "exists", exists)
    served.kubectl("scale", "obsub", name, "--replicas=3")
    served.wait("deployment", f"{name}-sub", "3 replicas", replicas(3))
    shared_operator.wait_looks(3, "Subscription")
    assert replicas(3)(served.must_get("deployment", f"{name}-sub"))
    assert served.must_get("obsub", name)["spec"]["replicas"] == 3


def test_the_strategy_can_be_changed_there_and_back(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "exists", exists)
    served.apply(publisher(name, strategy={"type": "Recreate"}))
    found = served.wait(
        "deployment", f"{name}-pub", "Recreate", lambda obj: obj["spec"]["strategy"]["type"] == "Recreate"
    )
    assert found["spec"]["strategy"] == {"type": "Recreate"}
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "rolling", lambda obj: obj["spec"]["strategy"]["type"] == "RollingUpdate")


def test_a_deployment_of_somebody_else_is_not_touched(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.apply(web(f"{name}-pub"))
    before = served.must_get("deployment", f"{name}-pub")
    served.apply(publisher(name))
    ready = served.wait_condition("obpub", name, "Ready", "False", "NameConflict")
    assert f"Deployment {name}-pub is needed for the workers" in ready["message"]
    served.wait_event(name, "NameConflict")
    shared_operator.wait_looks(3, "Publisher")
    now = served.must_get("deployment", f"{name}-pub")
    assert (now["metadata"]["uid"], now["spec"]) == (before["metadata"]["uid"], before["spec"])
    writers = {entry["manager"] for entry in served.writes("deployment", f"{name}-pub")}
    assert writers <= {"user", "kube-controller-manager"}
    served.kubectl("delete", "deployment", f"{name}-pub")
    served.wait("deployment", f"{name}-pub", "ours", lambda found: found["metadata"].get("ownerReferences"))


def test_a_deployment_that_another_controller_owns_is_not_taken_over(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.kubectl("create", "configmap", f"{name}-controller")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"{name}-controller", "controller": True}
    owner["uid"] = served.must_get("configmap", f"{name}-controller")["metadata"]["uid"]
    theirs = web(f"{name}-pub")
    theirs["metadata"] |= {"ownerReferences": [owner], "labels": object_labels(Key(PUBLISHER, "shared", name))}
    served.apply(theirs)
    served.apply(publisher(name))
    served.wait_condition("obpub", name, "Ready", "False", "NameConflict")
    shared_operator.wait_looks(3, "Publisher")
    found = served.must_get("deployment", f"{name}-pub")
    assert found["metadata"]["ownerReferences"][0]["uid"] == owner["uid"]
    assert (found["metadata"]["generation"], image("shop:1")(found)) == (1, True)


def test_an_invalid_template_is_reported_with_the_words_of_the_api_server(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    before = served.wait("deployment", f"{name}-pub", "exists", exists)
    broken = {"spec": {"containers": [{"name": "worker", "resources": {"requests": {"cpu": "many"}}}]}}
    served.apply(publisher(name, template=broken))
    ready = served.wait_condition("obpub", name, "Ready", "False", "InvalidSpec")
    assert "The API server refuses the Deployment" in ready["message"]
    assert "quantities must match" in ready["message"]
    served.wait_event(name, "InvalidSpec")
    now = served.must_get("deployment", f"{name}-pub")
    assert now["metadata"]["generation"] == before["metadata"]["generation"]
    served.apply(publisher(name, template={"spec": {"nodeSelector": {"disk": "ssd"}}}))
    served.wait(
        "deployment", f"{name}-pub", "the selector", lambda found: "nodeSelector" in found["spec"]["template"]["spec"]
    )


def test_an_unknown_field_in_the_template_is_reported(served: Cluster, name: str) -> None:
    served.apply(publisher(name, template={"spec": {"nodeSelektor": {"disk": "ssd"}}}))
    ready = served.wait_condition("obpub", name, "Ready", "False", "InvalidSpec")
    assert "nodeSelektor" in ready["message"]
    assert served.get("deployment", f"{name}-pub") is None


def test_workers_that_run_are_reported_as_available(served: Cluster, name: str) -> None:
    served.apply(publisher(name, replicas=2))
    served.make_ready(f"djangooutbox.io/publisher={name}", 2)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    served.wait_condition("obpub", name, "Progressing", "False", "RolloutComplete")
    found = served.must_get("obpub", name)
    assert found["status"]["readyReplicas"] == 2
    assert found["status"]["observedGeneration"] == found["metadata"]["generation"]
    line = served.kubectl("get", "obpub", name, "--no-headers").split()
    assert line[:5] == [name, "2", "2", "True", "WorkersAvailable"]
    served.wait_event(name, "WorkersAvailable")


def test_an_image_that_cannot_be_pulled_is_told_in_condition_and_event(served: Cluster, name: str) -> None:
    served.apply(subscription(name, image="registry.example.com/nope:1"))
    selector = f"djangooutbox.io/subscription={name}"
    pod = wait_until("a pod", lambda: served.list("pods", selector), seconds=SECONDS)[0]
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}}
    status = {"name": "worker", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    served.patch_pod(pod["metadata"]["name"], {"containerStatuses": [status]})
    ready = served.wait_condition("obsub", name, "Ready", "False", "ImagePullFailed")
    assert "registry.example.com/nope:1 cannot be pulled" in ready["message"]
    assert "not found" in served.wait_event(name, "ImagePullFailed")


def test_nothing_is_written_while_nothing_changes(served: Cluster, name: str, shared_operator: OperatorProcess) -> None:
    served.apply(publisher(name))
    served.make_ready(f"djangooutbox.io/publisher={name}", 1)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    names = ((("obpub", name)), ("deployment", f"{name}-pub"))
    before = [served.must_get(*item)["metadata"]["resourceVersion"] for item in names]
    shared_operator.wait_looks(20, "Publisher")
    assert [served.must_get(*item)["metadata"]["resourceVersion"] for item in names] == before


def test_the_status_reads_well_in_json(served: Cluster, name: str) -> None:
    served.apply(subscription(name))
    found = served.wait("obsub", name, "a status", lambda obj: obj.get("status"))
    assert [item["type"] for item in found["status"]["conditions"]] == [
        "Ready",
        "Progressing",
        "ConfigResolved",
        "AutoscalingReady",
        "Suspended",
    ]
    assert found["status"]["selector"] == f"djangooutbox.io/subscription={name}"
    listed = json.loads(served.kubectl("get", "obsub", "--field-selector", "spec.queue=billing", "-o", "json"))
    assert name in [item["metadata"]["name"] for item in listed["items"]]


def test_metrics_show_the_conditions_of_what_exists_and_forget_what_is_gone(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    def shown(**labels: str) -> float:
        return shared_operator.metric("outbox_operator_resource_condition", namespace="shared", name=name, **labels)

    served.apply(publisher(name, envFrom=[{"secretRef": {"name": f"{name}-missing"}}]))
    served.wait_condition("obpub", name, "Ready", "False", "SecretNotFound")
    assert (shown(condition="Ready", status="False"), shown(condition="Ready", status="True")) == (1, 0)
    # One status of each of the five conditions holds.
    assert shown() == 5
    served.kubectl("delete", "obpub", name)
    wait_until("the resource is forgotten", lambda: shown() == 0, seconds=SECONDS)


def test_workers_are_admitted_where_pods_must_be_restricted(served: Cluster, name: str) -> None:
    gates = {"migrations": {"policy": "Wait"}}
    served.apply(publisher(name, **gates), subscription(name, queue=name, ordering="Ordered", **gates))
    for kind in ("publisher", "subscription"):
        found = wait_until(
            f"a pod of the {kind}",
            lambda kind=kind: served.list("pods", f"djangooutbox.io/{kind}={name}"),
            seconds=SECONDS,
        )
        containers = [item["name"] for item in (*found[0]["spec"]["initContainers"], *found[0]["spec"]["containers"])]
        assert containers == ["preflight", "await-migrations", "worker"]


def test_pods_that_the_cluster_refuses_are_told(served: Cluster, name: str) -> None:
    served.apply(publisher(name, template={"spec": {"securityContext": {"runAsNonRoot": False}}}))
    ready = served.wait_condition("obpub", name, "Ready", "False", "PodsNotCreated")
    assert "violates PodSecurity" in ready["message"]
    served.wait_event(name, "PodsNotCreated")
