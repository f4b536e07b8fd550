"""What is in the cluster when a run begins: resources of both kinds, and what they refer to."""

from __future__ import annotations

from typing import Any, Final

from tests.chaos.operator.people import NAMESPACE
from tests.cluster.manifests import publisher, secret, subscription, web

SECRETS: Final = ("secret-1", "secret-2", "secret-3")
WORKLOADS: Final = ("workload-1", "workload-2")
FOREIGN: Final = "foreign"
"""A Publisher whose Deployment's name somebody else has taken."""
SUFFIXES: Final = {"Publisher": "-pub", "Subscription": "-sub"}


def resource_names(count: int) -> tuple[str, ...]:
    """Return the names of the resources that are changed during a run."""
    return tuple(f"resource-{number:02}" for number in range(1, count + 1))


def resource(name: str) -> dict[str, Any]:
    """Return a resource as it is at the beginning, and each time it is made again."""
    number = int(name.rpartition("-")[2])
    spec: dict[str, Any] = {"replicas": number % 3 + 1}
    spec["envFrom"] = [{"secretRef": {"name": SECRETS[number % len(SECRETS)]}}] if number % 2 else None
    if number % 5 == 0:
        return _placed(publisher(name, workloadRef={"name": WORKLOADS[number % len(WORKLOADS)]}, **spec))
    if number % 3 == 0:
        return _placed(publisher(name, **spec))
    return _placed(subscription(name, queue=name, callback=f"billing.callbacks.{name.replace('-', '_')}", **spec))


def kind_of(name: str) -> str:
    """Return the kind of a resource."""
    kind: str = resource(name)["kind"]
    return kind


def child_of(name: str) -> str:
    """Return the name of a resource's Deployment."""
    return name + SUFFIXES[kind_of(name)]


def referred(name: str) -> dict[str, Any]:
    """Return a Secret or an application's Deployment as it is at the beginning, and each time it is made again."""
    if name in SECRETS:
        return _placed(secret(name, TOKEN="value-1"))
    return _placed(web(name, "web:1"))


def foreign() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return somebody else's Deployment and the Publisher that would need its name."""
    return _placed(web(f"{FOREIGN}{SUFFIXES['Publisher']}")), _placed(publisher(FOREIGN))


def _placed(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "namespace": NAMESPACE}}
