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
