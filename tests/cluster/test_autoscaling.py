"""Autoscaling without KEDA, and with KEDA's kinds but nobody who acts on them: what the operator does by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.conftest import CRDS, start_api_server
from tests.cluster.manifests import publisher, secret, subscription
from tests.cluster.operator_process import SECONDS, OperatorProcess
from tests.cluster.predicates import exists, image, replicas, wants
from tests.rig.keda import keda_crds
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.operator_process import Cluster

QUEUE = {
    "type": "RabbitMQ",
    "rabbitMQ": {"managementURL": "http://broker:15672", "credentials": {"secretName": "broker"}},
}
OUTBOX = {"type": "PostgreSQL", "postgreSQL": {"connection": {"secretName": "orders-env", "key": "DATABASE_URL"}}}
PROMETHEUS = {"type": "Prometheus", "prometheus": {"serverAddress": "http://prometheus:9090"}}


def block(source: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"maxReplicas": 5, "source": source, **more}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server that knows KEDA's kinds, and an operator."""
    for cluster in start_api_server(CRDS, keda_crds()):
        cluster.kubectl("create", "namespace", "scaled")
        inside = cluster.inside("scaled")
        inside.apply(secret("broker", username="u", password="p"), secret("orders-env", DATABASE_URL="postgresql://"))
        with OperatorProcess(inside, tmp_path_factory.mktemp("operator"), "scaled"):
            yield inside


def managers(cluster: Cluster, name: str) -> set[str]:
    """Who owns `replicas` of a Deployment."""
    return {
        entry["manager"]
        for entry in cluster.writes("deployment", name)
        if "f:replicas" in entry.get("fieldsV1", {}).get("f:spec", {})
    }


def wait_workers(cluster: Cluster, name: str, number: int) -> set[str]:
    """Wait until a Subscription has so many workers, and return which ones."""
    found = wait_until(
        f"{number} workers",
        lambda: pods if len(pods := present_workers(cluster, name)) == number else None,
        seconds=SECONDS,
        state=lambda: cluster.kubectl("get", "pods", "--show-labels"),
    )
    settled: set[str] = found
    return settled


def present_workers(cluster: Cluster, name: str) -> set[str]:
    pods = cluster.list("pods", f"djangooutbox.io/subscription={name}")
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def replace_spec(cluster: Cluster, kind: str, name: str, **changes: Any) -> None:
    cluster.patch(kind, name, {"spec": changes})


def test_without_keda_a_condition_says_so_and_the_least_number_of_workers_runs(served: Cluster, name: str) -> None:
    served.apply(publisher(name, autoscaling=block(OUTBOX, minReplicas=3)))
    served.wait("deployment", f"{name}-pub", "3 replicas", replicas(3))
    found = served.wait_condition("obpub", name, "AutoscalingReady", "False", "KedaNotInstalled")
    assert "at least 3 workers run" in found["message"]
    assert "KEDA is not installed" in served.wait_event(name, "AutoscalingKedaNotInstalled")
    served.kubectl("scale", "deployment", f"{name}-pub", "--replicas=1")
    served.wait("deployment", f"{name}-pub", "3 replicas again", replicas(3))


def test_without_keda_nobody_stops_the_last_worker(served: Cluster, name: str) -> None:
    served.apply(subscription(name, autoscaling=block(QUEUE, minReplicas=0)))
    served.wait_condition("obsub", name, "AutoscalingReady", "False", "KedaNotInstalled")
    assert replicas(1)(served.must_get("deployment", f"{name}-sub"))


def test_a_resource_becomes_a_scaled_object_that_names_its_deployment(kinds: Cluster, name: str) -> None:
    kinds.apply(subscription(name, autoscaling=block(QUEUE)))
    made = kinds.wait("scaledobject", f"{name}-sub", "exists", exists)
    assert made["spec"]["scaleTargetRef"]["name"] == f"{name}-sub"
    kinds.wait("triggerauthentication", f"{name}-sub", "exists", exists)
    kinds.wait_condition("obsub", name, "AutoscalingReady", "Unknown", "WaitingForKeda")
    kinds.kubectl("patch", "scaledobject", f"{name}-sub", "--type=merge", "-p", '{"spec": {"maxReplicaCount": 50}}')
    kinds.wait("scaledobject", f"{name}-sub", "put back", lambda found: found["spec"]["maxReplicaCount"] == 5)


def test_handing_the_number_over_to_keda_and_back_changes_nothing_at_that_moment(kinds: Cluster, name: str) -> None:
    kinds.apply(subscription(name, replicas=4))
    kinds.wait("deployment", f"{name}-sub", "4 replicas", replicas(4))
    workers = wait_workers(kinds, name, 4)
    replace_spec(kinds, "obsub", name, replicas=None, autoscaling=block(QUEUE))
    kinds.wait("scaledobject", f"{name}-sub", "exists", exists)
    handed = kinds.wait(
        "deployment",
        f"{name}-sub",
        "ours no more",
        lambda _: "outbox-operator" not in managers(kinds, f"{name}-sub"),
    )
    assert handed["spec"]["replicas"] == 4
    assert wait_workers(kinds, name, 4) == workers, "workers were stopped in between"
    kinds.kubectl("scale", "deployment", f"{name}-sub", "--replicas=3")
    kinds.wait("obsub", name, "a true status", wants(3))
    workers = wait_workers(kinds, name, 3)
    replace_spec(kinds, "obsub", name, replicas=3, autoscaling=None)
    kinds.wait_gone("scaledobject", f"{name}-sub")
    kinds.wait_gone("triggerauthentication", f"{name}-sub")
    taken = kinds.wait(
        "deployment",
        f"{name}-sub",
        "ours again",
        lambda _: "outbox-operator" in managers(kinds, f"{name}-sub"),
    )
    assert taken["spec"]["replicas"] == 3
    assert wait_workers(kinds, name, 3) == workers, "workers were stopped in between"
    kinds.wait_condition("obsub", name, "AutoscalingReady", "Unknown", "NotConfigured")


def test_taking_autoscaling_away_without_naming_a_number_keeps_the_present_one(kinds: Cluster, name: str) -> None:
    kinds.apply(subscription(name, autoscaling=block(QUEUE)))
    kinds.wait("scaledobject", f"{name}-sub", "exists", exists)
    kinds.kubectl("scale", "deployment", f"{name}-sub", "--replicas=5")
    replace_spec(kinds, "obsub", name, autoscaling=None, settingsModule="shop.settings")
    kinds.wait_gone("scaledobject", f"{name}-sub")
    kinds.wait_condition("obsub", name, "AutoscalingReady", "Unknown", "NotConfigured")
    assert replicas(5)(kinds.must_get("deployment", f"{name}-sub"))


def test_replicas_that_a_plain_horizontal_pod_autoscaler_sets_are_never_overwritten(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.apply(subscription(name, queue=name))
    served.wait("deployment", f"{name}-sub", "1 replica", replicas(1))
    # Below its least number it scales without knowing any metric.
    served.kubectl("autoscale", "deployment", f"{name}-sub", "--min=4", "--max=6", "--cpu-percent=50")
    served.wait("deployment", f"{name}-sub", "the number of the autoscaler", replicas(4))
    generation = served.must_get("deployment", f"{name}-sub")["metadata"]["generation"]
    shared_operator.wait_looks(3, "Subscription")
    found = served.must_get("deployment", f"{name}-sub")
    assert (replicas(4)(found), found["metadata"]["generation"]) == (True, generation)
    served.apply(subscription(name, queue=name, image="shop:2"))
    assert replicas(4)(served.wait("deployment", f"{name}-sub", "the new image", image("shop:2")))
    served.wait("obsub", name, "a true status", wants(4))


def test_a_number_that_the_resource_does_not_name_is_left_to_whoever_scales_the_deployment(
    served: Cluster, name: str, shared_operator: OperatorProcess
) -> None:
    served.apply(publisher(name))
    served.wait("deployment", f"{name}-pub", "1 replica", replicas(1))
    served.kubectl("scale", "deployment", f"{name}-pub", "--replicas=6")
    served.apply(publisher(name, image="shop:2"))
    served.wait("obpub", name, "a true status", wants(6))
    shared_operator.wait_looks(3, "Publisher")
    assert replicas(6)(served.must_get("deployment", f"{name}-pub"))


def test_suspending_pauses_keda_at_no_workers_and_resuming_lets_it_go_on(kinds: Cluster, name: str) -> None:
    kinds.apply(publisher(name, autoscaling=block(OUTBOX, minReplicas=2)))
    kinds.wait("deployment", f"{name}-pub", "2 replicas", replicas(2))
    replace_spec(kinds, "obpub", name, state="Suspended")
    kinds.wait("deployment", f"{name}-pub", "no replicas", replicas(0))
    kinds.wait("scaledobject", f"{name}-pub", "paused at 0", lambda found: paused(found) == "0")
    kinds.wait_condition("obpub", name, "AutoscalingReady", "False", "Suspended")
    replace_spec(kinds, "obpub", name, state="Running")
    kinds.wait("scaledobject", f"{name}-pub", "not paused", lambda found: paused(found) is None)
    kinds.wait("deployment", f"{name}-pub", "2 replicas", replicas(2))


def paused(scaled_object: dict[str, Any]) -> str | None:
    annotations: dict[str, str] = scaled_object["metadata"].get("annotations", {})
    return annotations.get("autoscaling.keda.sh/paused-replicas")


def test_a_scaled_object_of_somebody_else_is_left_alone_and_told(kinds: Cluster, name: str) -> None:
    theirs = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": f"{name}-sub"},
        "spec": {
            "scaleTargetRef": {"name": "other"},
            "triggers": [{"type": "cron", "metadata": {"timezone": "UTC"}}],
        },
    }
    kinds.apply(theirs)
    kinds.apply(subscription(name, autoscaling=block(QUEUE)))
    kinds.wait_condition("obsub", name, "AutoscalingReady", "False", "NameConflict")
    assert kinds.must_get("scaledobject", f"{name}-sub")["spec"]["scaleTargetRef"]["name"] == "other"
    kinds.kubectl("delete", "scaledobject", f"{name}-sub")
    kinds.wait_condition("obsub", name, "AutoscalingReady", "Unknown", "WaitingForKeda")


def test_an_object_that_keda_does_not_let_go_of_blocks_no_deletion(kinds: Cluster, name: str) -> None:
    kinds.apply(subscription(name, autoscaling=block(QUEUE)))
    kinds.wait("scaledobject", f"{name}-sub", "exists", exists)
    # As KEDA does; it is gone, and nobody will ever remove this.
    kinds.patch("scaledobject", f"{name}-sub", {"metadata": {"finalizers": ["finalizer.keda.sh"]}})
    kinds.kubectl("delete", "obsub", name, "--cascade=foreground", "--wait=false")
    kinds.wait_gone("obsub", name)
    kinds.wait_gone("deployment", f"{name}-sub")
    kinds.patch("scaledobject", f"{name}-sub", {"metadata": {"finalizers": None}})
    kinds.wait_gone("scaledobject", f"{name}-sub")


def test_a_behavior_that_keda_refuses_is_told_in_the_api_servers_words(kinds: Cluster, name: str) -> None:
    wrong = {"scaleDown": {"policies": [{"type": "Pods", "value": "many", "periodSeconds": 1}]}}
    kinds.apply(subscription(name, autoscaling=block(QUEUE, behavior=wrong)))
    found = kinds.wait_condition("obsub", name, "AutoscalingReady", "False", "InvalidSpec")
    assert "spec.advanced.horizontalPodAutoscalerConfig.behavior" in found["message"]


def test_a_missing_credential_is_told_and_holds_up_no_worker(kinds: Cluster, name: str) -> None:
    source = {**QUEUE, "rabbitMQ": {"managementURL": "http://broker:15672", "credentials": {"secretName": "none"}}}
    kinds.apply(subscription(name, autoscaling=block(source)))
    found = kinds.wait_condition("obsub", name, "AutoscalingReady", "False", "SecretNotFound")
    assert "Secret none does not exist" in found["message"]
    kinds.wait("deployment", f"{name}-sub", "exists", exists)


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (publisher("x", replicas=1, autoscaling=block(OUTBOX)), "set replicas or autoscaling, not both"),
        (publisher("x", autoscaling=block(OUTBOX, minReplicas=6)), "minReplicas must not exceed maxReplicas"),
        (publisher("x", autoscaling=block(OUTBOX, minReplicas=0, idleReplicas=0)), "leave idleReplicas out"),
        (publisher("x", autoscaling=block(OUTBOX, fallback={"replicas": 9})), "fallback.replicas must not exceed"),
        (publisher("x", autoscaling=block(OUTBOX, fallback={"replicas": 0})), "greater than or equal to 1"),
        (publisher("x", autoscaling=block(QUEUE)), "RabbitMQ counts the queue of a Subscription"),
        (subscription("x", autoscaling=block(OUTBOX)), "PostgreSQL counts the outbox of a Publisher"),
        (subscription("x", autoscaling=block(PROMETHEUS)), "do not export the length of its queue"),
        (publisher("x", autoscaling=block(PROMETHEUS, minReplicas=0)), "their backlog is unknown"),
        (
            publisher("x", autoscaling=block({"type": "PostgreSQL", "postgreSQL": {}})),
            "source.postgreSQL needs a connection",
        ),
        (publisher("x", autoscaling=block({"type": "Prometheus"})), "exactly when source.type is Prometheus"),
        (
            publisher("x", autoscaling=block({**OUTBOX, "authenticationRef": {"name": "mine"}})),
            "not from both",
        ),
        (
            subscription(
                "x", autoscaling=block({"type": "RabbitMQ", "rabbitMQ": {"managementURL": "http://u:p@broker:15672"}})
            ),
            "without credentials",
        ),
        (subscription("x", ordering="Ordered", autoscaling=block(QUEUE)), "Ordered needs at most one worker"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_work_is_refused_with_words(cluster: Cluster, manifest: dict[str, Any], words: str) -> None:
    assert words in cluster.refusal(manifest)


def test_kubectl_scale_is_refused_where_keda_decides(served: Cluster, name: str) -> None:
    served.apply(subscription(name, autoscaling=block(QUEUE)))
    with pytest.raises(Exception, match="replicas"):
        served.kubectl("scale", "obsub", name, "--replicas=3")
    assert "replicas" not in served.must_get("obsub", name)["spec"]
