"""What the API server refuses, with the words that a person gets to read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.cluster.manifests import publisher, subscription
from tests.rig import RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.operator_process import Cluster

BOTH = {"image": "shop:1", "workloadRef": {"name": "web"}}
VARIABLE = {"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "both image and workloadRef": (publisher("x", **BOTH), "set exactly one of image and workloadRef"),
    "neither image nor workloadRef": (publisher("x", image=None), "set exactly one of image and workloadRef"),
    "a callback that is no dotted path": (
        subscription("x", callback="billing"),
        "callback must be the dotted path of a Python callable, for example billing.callbacks.order_paid",
    ),
    "a callback with a hyphen": (subscription("x", callback="bil-ling.paid"), "callback must be the dotted path"),
    "a destination that is no STOMP destination": (
        subscription("x", destination="orders"),
        "destination must be a STOMP destination: /exchange/NAME/KEY, /topic/NAME, /queue/NAME or /amq/queue/NAME",
    ),
    "a destination without a name": (
        subscription("x", destination="/topic/"),
        "destination must be a STOMP destination",
    ),
    "a queue with a prefix": (subscription("x", queue="/queue/billing"), "queue must be the bare name of a queue"),
    "a name of 41 characters": (publisher("x" * 41), "the name must have at most 40 characters"),
    "Ordered with two replicas": (
        subscription("x", ordering="Ordered", replicas=2),
        "ordering Ordered needs at most one replica",
    ),
    "Ordered with a prefetch": (
        subscription("x", ordering="Ordered", consumer={"prefetch": 10}),
        "ordering Ordered takes one message at a time",
    ),
    "Ordered with a rolling update": (
        subscription("x", ordering="Ordered", strategy={"type": "RollingUpdate"}),
        "ordering Ordered needs strategy.type Recreate",
    ),
    "limits of a rolling update for Recreate": (
        publisher("x", strategy={"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        "rollingUpdate is only for strategy.type RollingUpdate",
    ),
    "a rolling update that could not begin": (
        publisher("x", strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0}}),
        "maxSurge and maxUnavailable must not both be 0",
    ),
    "a budget of no worker": (
        publisher("x", podDisruptionBudget={"maxUnavailable": 0}),
        "maxUnavailable must be a number above 0 or a percentage",
    ),
    "a budget of no percent": (
        publisher("x", podDisruptionBudget={"maxUnavailable": "0%"}),
        "maxUnavailable must be a number above 0 or a percentage",
    ),
    "a check that does not exist": (publisher("x", preflight={"checks": ["Queues"]}), 'supported values: "Callback"'),
    "a check twice": (publisher("x", preflight={"checks": ["Queue", "Queue"]}), "Duplicate value"),
    "no check at all": (publisher("x", preflight={"checks": []}), "should have at least 1 items"),
    "a policy for migrations that does not exist": (
        publisher("x", migrations={"policy": "Run"}),
        'supported values: "Ignore", "Wait"',
    ),
    "no time to wait for migrations": (
        publisher("x", migrations={"policy": "Wait", "timeoutSeconds": 0}),
        "greater than or equal to 1",
    ),
    "a spread that does not exist": (
        publisher("x", topologySpread={"policy": "Even"}),
        'supported values: "Auto", "Disabled"',
    ),
    "a grace period below the drain limit": (
        subscription("x", terminationGracePeriodSeconds=90),
        "terminationGracePeriodSeconds must exceed 90",
    ),
    "a publisher's grace period below its drain limit": (
        publisher("x", terminationGracePeriodSeconds=30),
        "terminationGracePeriodSeconds must exceed 30",
    ),
    "a deadline below minReadySeconds": (
        publisher("x", minReadySeconds=60, progressDeadlineSeconds=60),
        "progressDeadlineSeconds must exceed minReadySeconds",
    ),
    "a variable with two sources": (publisher("x", env=[VARIABLE]), "takes its value from value or from valueFrom"),
    "a variable without a name": (publisher("x", env=[{"value": "1"}]), "spec.env[0].name: Required value"),
    "a variable twice": (publisher("x", env=[{"name": "A"}, {"name": "A"}]), "Duplicate value"),
    "an envFrom without a source": (
        publisher("x", envFrom=[{"prefix": "A"}]),
        "exactly one of secretRef and configMapRef",
    ),
    "a reserved label in the template": (
        publisher("x", template={"metadata": {"labels": {"djangooutbox.io/publisher": "y"}}}),
        "labels that begin with djangooutbox.io/ belong to the operator",
    ),
    "a container without a name": (
        publisher("x", template={"spec": {"containers": [{"image": "proxy"}]}}),
        "spec.template.spec.containers[0].name: Required value",
    ),
    "a settings module that is none": (
        publisher("x", settingsModule="shop/settings"),
        "settingsModule must be the dotted",
    ),
    "a privileged port": (publisher("x", metrics={"port": 80}), "greater than or equal to 1024"),
    "a kind that cannot be followed": (
        publisher("x", workloadRef={"name": "web", "kind": "StatefulSet"}),
        'supported values: "Deployment"',
    ),
    "an unknown state": (publisher("x", state="Paused"), 'supported values: "Running", "Suspended"'),
    "an unknown field": (publisher("x", replcas=2), 'unknown field "spec.replcas"'),
}


@pytest.mark.parametrize(("manifest", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_an_invalid_resource_is_refused_with_words_for_people(
    cluster: Cluster, manifest: dict[str, Any], words: str
) -> None:
    assert words in cluster.refusal(manifest)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"queue": "other"}, "queue is immutable, a change would strand messages in the old queue: create a new"),
        ({"destination": "/topic/other"}, "destination is immutable, a change would strand messages: create a new"),
    ],
    ids=["queue", "destination"],
)
def test_what_would_strand_messages_cannot_be_changed(
    own: Cluster, name: str, change: dict[str, str], words: str
) -> None:
    own.apply(subscription(name))
    with pytest.raises(RigError) as refusal:
        own.patch("obsub", name, {"spec": change})
    assert words in " ".join(str(refusal.value).split())
    assert "drain this one" in str(refusal.value)


def test_scaling_an_ordered_subscription_up_is_refused(own: Cluster, name: str) -> None:
    own.apply(subscription(name, ordering="Ordered", replicas=1))
    with pytest.raises(RigError, match="ordering Ordered needs at most one replica"):
        own.kubectl("scale", "obsub", name, "--replicas=2")


def test_every_field_is_explained_by_kubectl(cluster: Cluster) -> None:
    # What `kubectl explain` reads, however deep a field lies.
    published = json.loads(cluster.kubectl("get", "--raw", "/openapi/v3/apis/djangooutbox.io/v1alpha1"))
    for kind in ("Publisher", "Subscription"):
        spec = published["components"]["schemas"][f"io.djangooutbox.v1alpha1.{kind}"]["properties"]["spec"]
        fields = dict(described(spec, "spec"))
        assert [path for path, words in fields.items() if not words] == []
        path = "spec.autoscaling.source.rabbitMQ.managementURL"
        explained = cluster.kubectl("explain", f"{kind.lower()}s.djangooutbox.io.{path}")
        assert fields[path].split()[0] in explained


def described(node: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield every field below a node with its description."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child.get("description", "")
        yield from described(child, f"{path}.{name}")
    if isinstance(node.get("items"), dict):
        yield from described(node["items"], f"{path}[]")
