"""What is built for a resource, whole, against golden files; and single promises that a reader looks for."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_operator.build.deployment import strategy
from outbox_operator.build.names import SPEC_HASH_ANNOTATION
from outbox_operator.build.pod_template import worker_container
from outbox_operator.build.references import ConfigName
from outbox_operator.plan import Observed, plan
from tests.unit.operator.golden_files import assert_golden
from tests.unit.operator.objects import following, publisher, subscription, workload

WEB = workload(
    container={
        "image": "registry.example.com/shop:7",
        "imagePullPolicy": "Always",
        "command": ["gunicorn"],
        "ports": [{"containerPort": 8000}],
        "workingDir": "/app",
        "env": [{"name": "DEBUG", "value": "0"}, {"name": "DJANGO_SETTINGS_MODULE", "value": "shop.settings"}],
        "envFrom": [{"configMapRef": {"name": "shop"}}],
        "volumeMounts": [{"name": "certs", "mountPath": "/certs"}],
        "securityContext": {"runAsUser": 1000, "privileged": True, "capabilities": {"add": ["NET_ADMIN"]}},
        "resources": {"requests": {"cpu": "2"}},
    },
    serviceAccountName="shop",
    imagePullSecrets=[{"name": "registry"}],
    volumes=[{"name": "certs", "secret": {"secretName": "broker-ca"}}, {"name": "unused", "emptyDir": {}}],
    securityContext={"fsGroup": 1000, "sysctls": [{"name": "a", "value": "b"}]},
)

SHOP = ConfigName("ConfigMap", "shop")
BROKER_CA = ConfigName("Secret", "broker-ca")

EVERYTHING: dict[str, Any] = {
    "imagePullPolicy": "IfNotPresent",
    "imagePullSecrets": [{"name": "registry"}],
    "command": ["/opt/venv/bin/python", "manage.py"],
    "extraArgs": ["--verbosity=2"],
    "settingsModule": "shop.settings",
    "env": [
        {"name": "DEBUG", "value": "0"},
        {"name": "TOKEN", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
    ],
    "serviceAccountName": "shop-workers",
    "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "256Mi"}},
    "replicas": 3,
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}},
    "minReadySeconds": 5,
    "progressDeadlineSeconds": 300,
    "revisionHistoryLimit": 1,
    "terminationGracePeriodSeconds": 200,
    "metrics": {"port": 9191},
    "preflight": {"checks": ["Callback", "Broker"]},
    "migrations": {"policy": "Wait", "timeoutSeconds": 60},
    "template": {
        "metadata": {"labels": {"team": "billing"}, "annotations": {"example.com/note": "hello"}},
        "spec": {
            "nodeSelector": {"disk": "ssd"},
            "containers": [
                {"name": "worker", "env": [{"name": "DEBUG", "value": "1"}]},
                {"name": "proxy", "image": "proxy:1"},
            ],
        },
    },
}


@pytest.mark.parametrize(
    ("name", "resource", "observed"),
    [
        ("publisher_minimal", publisher(), Observed()),
        ("publisher_everything", publisher(batchSize=100, database="orders", **EVERYTHING), Observed()),
        ("subscription_minimal", subscription(), Observed()),
        ("subscription_ordered", subscription(ordering="Ordered"), Observed()),
        (
            "subscription_everything",
            subscription(consumer={"prefetch": 20, "concurrency": 4}, **EVERYTHING),
            Observed(),
        ),
        (
            "publisher_following",
            following(env=[{"name": "DEBUG", "value": "1"}]),
            Observed(workload=WEB, config={SHOP: {"BROKER": "b"}, BROKER_CA: {"ca.crt": "c"}}),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_deployment_equals_its_golden_file(name: str, resource: Any, observed: Observed) -> None:
    assert_golden(name, plan(resource, observed).deployment)


def _pod(resource: Any) -> Any:
    deployment = plan(resource, Observed()).deployment
    assert deployment is not None
    return deployment["spec"]["template"]["spec"]


def test_the_gates_run_what_the_worker_runs_after_the_containers_of_the_template() -> None:
    template = {
        "spec": {
            "initContainers": [
                {"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"},
                {"name": "preflight", "env": [{"name": "MORE", "value": "1"}]},
            ],
            "containers": [{"name": "worker", "env": [{"name": "DEBUG", "value": "1"}]}],
        }
    }
    pod = _pod(subscription(migrations={"policy": "Wait"}, template=template))
    proxy, preflight, waiting = pod["initContainers"]
    worker = pod["containers"][0]
    assert [item["name"] for item in (proxy, preflight, waiting)] == ["proxy", "preflight", "await-migrations"]
    for field in ("image", "securityContext", "volumeMounts"):
        assert preflight[field] == waiting[field] == worker[field]
    assert waiting["env"] == worker["env"]
    assert preflight["env"] == [*worker["env"], {"name": "MORE", "value": "1"}]
    assert preflight["args"][-2:] == ["--termination-log", "/dev/termination-log"]
    assert "--tolerate" in preflight["args"]


@pytest.mark.parametrize(
    ("spec", "gates"),
    [
        ({}, ["preflight"]),
        ({"preflight": {"policy": "Disabled"}}, []),
        ({"preflight": {"policy": "Disabled"}, "migrations": {"policy": "Wait"}}, ["await-migrations"]),
        ({"migrations": {"policy": "Wait"}}, ["preflight", "await-migrations"]),
    ],
)
def test_a_worker_has_the_gates_that_its_resource_asks_for(spec: Any, gates: list[str]) -> None:
    assert [item["name"] for item in _pod(publisher(**spec)).get("initContainers", [])] == gates


def test_the_preflight_of_a_publisher_asks_its_own_database_and_the_chosen_checks_only() -> None:
    pod = _pod(publisher(database="orders", preflight={"checks": ["Broker"]}))
    expected = ["outbox", "preflight", "--database", "orders", "--check", "broker"]
    assert pod["initContainers"][0]["args"][:-2] == expected


def test_an_ordered_worker_is_scheduled_only_when_no_other_is_left_whatever_the_template_says() -> None:
    other = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "noisy"}}}
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    template = {"spec": {"affinity": {"podAntiAffinity": {field: [other]}}}}
    pod = _pod(subscription(ordering="Ordered", template=template))
    first, second = pod["affinity"]["podAntiAffinity"][field]
    assert first == other
    assert second["labelSelector"] == {"matchLabels": {"djangooutbox.io/subscription": "billing"}}
    assert "topologySpreadConstraints" not in pod
    assert "affinity" not in _pod(subscription())


def test_workers_are_spread_unless_that_is_disabled_or_the_template_says_how() -> None:
    spread = _pod(publisher())["topologySpreadConstraints"]
    assert {item["whenUnsatisfiable"] for item in spread} == {"ScheduleAnyway"}
    assert "topologySpreadConstraints" not in _pod(publisher(topologySpread={"policy": "Disabled"}))
    own = [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule"}]
    assert _pod(publisher(template={"spec": {"topologySpreadConstraints": own}}))["topologySpreadConstraints"] == own


def test_suspended_means_no_replicas() -> None:
    deployment = plan(publisher(replicas=3, state="Suspended"), Observed()).deployment
    assert deployment is not None
    assert deployment["spec"]["replicas"] == 0


def test_the_same_resource_gives_the_same_digest_and_a_changed_one_another() -> None:
    digests = [_digest(publisher()), _digest(publisher()), _digest(publisher(image="shop:2"))]
    assert digests[0] == digests[1] != digests[2]


def _digest(resource: Any) -> str:
    deployment = plan(resource, Observed()).deployment
    assert deployment is not None
    return str(deployment["metadata"]["annotations"][SPEC_HASH_ANNOTATION])


def test_an_ordered_subscription_never_runs_an_old_and_a_new_worker_side_by_side() -> None:
    assert strategy(subscription(ordering="Ordered")) == {"type": "Recreate"}


def test_a_template_cannot_change_the_labels_the_deployment_selects_by() -> None:
    hostile = {"metadata": {"labels": {"djangooutbox.io/publisher": "other", "team": "x"}}}
    deployment = plan(publisher(template=hostile), Observed()).deployment
    assert deployment is not None
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert (labels["djangooutbox.io/publisher"], labels["team"]) == ("orders", "x")


def test_the_followed_workload_gives_way_to_the_fields_of_the_resource() -> None:
    found = plan(
        following(imagePullPolicy="Never", serviceAccountName="mine"), Observed(workload=workload())
    ).deployment
    assert found is not None
    spec = found["spec"]["template"]["spec"]
    container = worker_container(found["spec"]["template"])
    assert container is not None
    assert (container["image"], container["imagePullPolicy"], spec["serviceAccountName"]) == ("shop:7", "Never", "mine")
