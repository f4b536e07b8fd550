"""All fields of both resources have their effect: whatever a field says changes what is planned.

The fields are those of `crds/`; one that is added there without a line here, or that nothing reads, fails.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME, KINDS, SUBSCRIPTION, Kind
from outbox_operator.build.child import POD_DISRUPTION_BUDGET, SCALED_OBJECT, TRIGGER_AUTHENTICATION
from outbox_operator.build.names import SPEC_HASH_ANNOTATION
from outbox_operator.build.references import ConfigName
from outbox_operator.children import Present
from outbox_operator.plan import Observed, plan
from tests.unit.operator.objects import metadata, workload
from tests.unit.operator.test_crds import spec as fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CONSUMES = {"callback": "a.b", "destination": "/topic/a", "queue": "a"}
CONFIG = {
    ConfigName("Secret", "env"): {"A": "1", "B": "2"},
    ConfigName("ConfigMap", "env"): {"A": "1", "B": "2"},
    ConfigName("Secret", "other"): {"A": "3", "B": "4"},
    ConfigName("ConfigMap", "other"): {"A": "3", "B": "4"},
}
WEB = workload({"env": [{"name": "WEB", "value": "1"}]})
WEB["spec"]["template"]["spec"]["containers"].append({"name": "second", "image": "shop:8"})

Spec = dict[str, Any]


def variable(source: str, /, **reference: Any) -> Spec:
    return {"env": [{"name": "A", "valueFrom": {source: {"name": "env", "key": "A", **reference}}}]}


def source(kind: str, /, **reference: Any) -> Spec:
    return {"envFrom": [{kind: {"name": "env", **reference}}]}


def scaling(**block: Any) -> Spec:
    return {"autoscaling": {"maxReplicas": 5, "source": queue()["autoscaling"]["source"], **block}}


def by(type_: str, field: str, block: Spec, **more: Any) -> Spec:
    return {"autoscaling": {"maxReplicas": 5, "source": {"type": type_, field: block, **more}}}


def queue(**block: Any) -> Spec:
    return by("RabbitMQ", "rabbitMQ", {"managementURL": "http://a", "credentials": {"secretName": "env"}, **block})


def credentials(**block: str) -> Spec:
    return queue(credentials={"secretName": "env", **block})


def outbox(table: str = "published", **connection: str) -> Spec:
    connected = {"secretName": "env", "key": "A", **connection}
    return by("PostgreSQL", "postgreSQL", {"connection": connected, "table": table})


def prometheus(**block: str) -> Spec:
    return by("Prometheus", "prometheus", {"serverAddress": "http://a", "query": "up", **block})


def authenticated(**reference: str) -> Spec:
    return by("RabbitMQ", "rabbitMQ", {"managementURL": "http://a"}, authenticationRef={"name": "a", **reference})


def fallback(**block: Any) -> Spec:
    return scaling(fallback={"replicas": 1, **block})


def rolling(**limits: Any) -> Spec:
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, **limits}}}


def template(part: str, value: Any) -> Spec:
    return {"template": {part: value}}


def containers(field: str, name: str) -> Spec:
    return template("spec", {field: [{"name": name, "image": "proxy:1"}]})


GONE = {"name": "gone"}
FOLLOWING = {"workloadRef": {"name": "web"}}
CHANGES: dict[str, tuple[Spec, Spec]] = {
    "batchSize": ({"batchSize": 10}, {"batchSize": 11}),
    "database": ({}, {"database": "orders"}),
    "callback": ({"callback": "a.b"}, {"callback": "a.c"}),
    "destination": ({"destination": "/topic/a"}, {"destination": "/topic/b"}),
    "queue": ({"queue": "a"}, {"queue": "b"}),
    "ordering": ({}, {"ordering": "Ordered"}),
    "consumer.prefetch": ({}, {"consumer": {"prefetch": 7}}),
    "consumer.concurrency": ({}, {"consumer": {"concurrency": 2}}),
    "state": ({}, {"state": "Suspended"}),
    "workloadRef.name": (FOLLOWING, {"workloadRef": GONE}),
    "workloadRef.container": (FOLLOWING, {"workloadRef": {"name": "web", "container": "second"}}),
    "image": ({"image": "shop:1"}, {"image": "shop:2"}),
    "imagePullPolicy": ({}, {"imagePullPolicy": "Always"}),
    "imagePullSecrets.name": ({"imagePullSecrets": [{"name": "a"}]}, {"imagePullSecrets": [{"name": "b"}]}),
    "command": ({}, {"command": ["python3", "manage.py"]}),
    "extraArgs": ({}, {"extraArgs": ["--verbosity=2"]}),
    "settingsModule": ({}, {"settingsModule": "shop.settings"}),
    "env.name": ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B", "value": "1"}]}),
    "env.value": ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "A", "value": "2"}]}),
    **{
        f"env.valueFrom.{kind}KeyRef.{field}": (variable(f"{kind}KeyRef", **before), variable(f"{kind}KeyRef", **after))
        for kind in ("secret", "configMap")
        for field, before, after in (
            ("name", {}, {"name": "other"}),
            ("key", {}, {"key": "B"}),
            ("optional", GONE, {**GONE, "optional": True}),
        )
    },
    "envFrom.prefix": (source("secretRef"), {"envFrom": [{"prefix": "P_", "secretRef": {"name": "env"}}]}),
    **{
        f"envFrom.{kind}Ref.{field}": (source(f"{kind}Ref", **before), source(f"{kind}Ref", **after))
        for kind in ("secret", "configMap")
        for field, before, after in (("name", {}, {"name": "other"}), ("optional", GONE, {**GONE, "optional": True}))
    },
    "serviceAccountName": ({}, {"serviceAccountName": "shop"}),
    "resources.requests": ({}, {"resources": {"requests": {"cpu": "1"}}}),
    "resources.limits": ({}, {"resources": {"limits": {"memory": "1Gi"}}}),
    "replicas": ({"replicas": 2}, {"replicas": 3}),
    "autoscaling.minReplicas": (scaling(), scaling(minReplicas=0)),
    "autoscaling.maxReplicas": (scaling(), scaling(maxReplicas=6)),
    "autoscaling.idleReplicas": (scaling(minReplicas=2), scaling(minReplicas=2, idleReplicas=0)),
    "autoscaling.targetBacklog": (scaling(), scaling(targetBacklog=7)),
    "autoscaling.activationBacklog": (scaling(), scaling(activationBacklog=7)),
    "autoscaling.pollingIntervalSeconds": (scaling(), scaling(pollingIntervalSeconds=7)),
    "autoscaling.cooldownPeriodSeconds": (scaling(), scaling(cooldownPeriodSeconds=7)),
    "autoscaling.fallback.failureThreshold": (fallback(), fallback(failureThreshold=7)),
    "autoscaling.fallback.replicas": (fallback(), fallback(replicas=2)),
    "autoscaling.fallback.behavior": (fallback(), fallback(behavior="Static")),
    "autoscaling.behavior": (scaling(), scaling(behavior={"scaleDown": {"stabilizationWindowSeconds": 7}})),
    "autoscaling.source.type": (queue(), outbox()),
    "autoscaling.source.rabbitMQ.managementURL": (queue(), queue(managementURL="http://b")),
    "autoscaling.source.rabbitMQ.vhost": (queue(), queue(vhost="b")),
    "autoscaling.source.rabbitMQ.credentials.secretName": (credentials(), credentials(secretName="other")),
    "autoscaling.source.rabbitMQ.credentials.usernameKey": (credentials(), credentials(usernameKey="A")),
    "autoscaling.source.rabbitMQ.credentials.passwordKey": (credentials(), credentials(passwordKey="B")),
    "autoscaling.source.postgreSQL.connection.secretName": (outbox(), outbox(secretName="other")),
    "autoscaling.source.postgreSQL.connection.key": (outbox(), outbox(key="B")),
    "autoscaling.source.postgreSQL.table": (outbox(), outbox(table="shop.published")),
    "autoscaling.source.prometheus.serverAddress": (prometheus(), prometheus(serverAddress="http://b")),
    "autoscaling.source.prometheus.query": (prometheus(), prometheus(query="down")),
    "autoscaling.source.authenticationRef.kind": (authenticated(), authenticated(kind="ClusterTriggerAuthentication")),
    "autoscaling.source.authenticationRef.name": (authenticated(), authenticated(name="b")),
    "strategy.type": ({}, {"strategy": {"type": "Recreate"}}),
    "strategy.rollingUpdate.maxSurge": (rolling(), rolling(maxSurge=2)),
    "strategy.rollingUpdate.maxUnavailable": (rolling(), rolling(maxUnavailable=1)),
    "minReadySeconds": ({}, {"minReadySeconds": 7}),
    "progressDeadlineSeconds": ({}, {"progressDeadlineSeconds": 700}),
    "revisionHistoryLimit": ({}, {"revisionHistoryLimit": 7}),
    "terminationGracePeriodSeconds": ({}, {"terminationGracePeriodSeconds": 700}),
    "restartPolicy": (source("secretRef"), {**source("secretRef"), "restartPolicy": "Never"}),
    "preflight.policy": ({}, {"preflight": {"policy": "Disabled"}}),
    "preflight.checks": ({}, {"preflight": {"checks": ["Broker"]}}),
    "migrations.policy": ({}, {"migrations": {"policy": "Wait"}}),
    "migrations.timeoutSeconds": (
        {"migrations": {"policy": "Wait"}},
        {"migrations": {"policy": "Wait", "timeoutSeconds": 7}},
    ),
    "topologySpread.policy": ({}, {"topologySpread": {"policy": "Disabled"}}),
    "podDisruptionBudget.policy": ({"replicas": 2}, {"replicas": 2, "podDisruptionBudget": {"policy": "Disabled"}}),
    "podDisruptionBudget.maxUnavailable": (
        {"replicas": 3},
        {"replicas": 3, "podDisruptionBudget": {"maxUnavailable": 2}},
    ),
    "metrics.port": ({}, {"metrics": {"port": 9999}}),
    "template.metadata.labels": ({}, template("metadata", {"labels": {"team": "a"}})),
    "template.metadata.annotations": ({}, template("metadata", {"annotations": {"note": "a"}})),
    "template.spec.containers.name": (containers("containers", "a"), containers("containers", "b")),
    "template.spec.initContainers.name": (containers("initContainers", "a"), containers("initContainers", "b")),
}


def leaves(node: dict[str, Any], path: str) -> Iterator[str]:
    """Every field that can be set to more than one value; of lists of objects, those of their items."""
    inner = node.get("items", {}) if "properties" in node.get("items", {}) else node
    for name, child in inner.get("properties", {}).items():
        yield from leaves(child, f"{path}.{name}" if path else name)
    has_one_value = len(node.get("enum", ())) == 1 and "default" in node
    if "properties" not in inner and not has_one_value:
        yield path


@cache
def fields(kind: Kind) -> frozenset[str]:
    return frozenset(leaves({"properties": fields_of(kind.plural)}, ""))


def decided(kind: Kind, spec: Spec) -> Any:
    """Everything that a spec leads to, without the digests of it."""
    defaults = {**(CONSUMES if kind is SUBSCRIPTION else {}), **({} if "workloadRef" in spec else {"image": "shop:1"})}
    resource = parse(kind, {"metadata": metadata("orders"), "spec": {**defaults, **spec}})
    children = dict.fromkeys((POD_DISRUPTION_BUDGET, SCALED_OBJECT, TRIGGER_AUTHENTICATION), Present(None))
    web = None if spec.get("workloadRef") == GONE else WEB
    found = plan(resource, Observed(workload=web, config=CONFIG, children=children))
    objects = [found.deployment, *(child.wanted for child in found.children)]
    for obj in objects:
        if obj is not None:
            assert obj["metadata"]["annotations"].pop(SPEC_HASH_ANNOTATION)
    return objects, found.desired_replicas, found.unresolved, found.unresolved_scaler


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_field_of_the_schema_is_left_out(kind: Kind) -> None:
    others = frozenset().union(*(fields(other) for other in KINDS)) - fields(kind)
    assert fields(kind) == CHANGES.keys() - others


@pytest.mark.parametrize(
    ("kind", "field"), [(kind.name, field) for kind in KINDS for field in CHANGES if field in fields(kind)]
)
def test_every_field_has_its_effect(kind: str, field: str) -> None:
    before, after = (decided(KIND_BY_NAME[kind], spec) for spec in CHANGES[field])
    assert before != after
