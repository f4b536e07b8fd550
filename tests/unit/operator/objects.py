"""Objects as the API server sends them, for the operator's unit tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from outbox_operator.api.publisher import parse_publisher
from outbox_operator.api.subscription import parse_subscription

if TYPE_CHECKING:
    from outbox_operator.api.resource import Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"


def metadata(name: str, **more: Any) -> dict[str, Any]:
    return {"namespace": "shop", "name": name, "uid": UID, "generation": 1, **more}


def publisher(**spec: Any) -> Resource:
    spec = {} if "workloadRef" in spec else {"image": "shop:1", **spec}
    return parse_publisher({"metadata": metadata("orders"), "spec": spec})


def following(**spec: Any) -> Resource:
    """A Publisher that follows Deployment `web`."""
    spec = {"workloadRef": {"name": "web"}, **spec}
    return parse_publisher({"metadata": metadata("orders"), "spec": spec})


def subscription(**spec: Any) -> Resource:
    defaults = {
        "image": "shop:1",
        "callback": "billing.callbacks.paid",
        "destination": "/exchange/orders/paid",
        "queue": "billing",
    }
    return parse_subscription({"metadata": metadata("billing"), "spec": {**defaults, **spec}})


def workload(container: dict[str, Any] | None = None, **pod: Any) -> dict[str, Any]:
    """The Deployment `web` of an application."""
    containers = [{"name": "web", "image": "shop:7", **(container or {})}]
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": containers, **pod}}
    return {"metadata": metadata("web"), "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template}}


def applied(deployment: dict[str, Any], **status: int) -> dict[str, Any]:
    """A Deployment that was applied, as it looks later; `status` are its counts."""
    names = {
        "replicas": "replicas",
        "updated": "updatedReplicas",
        "ready": "readyReplicas",
        "available": "availableReplicas",
    }
    counts = {names[name]: number for name, number in status.items()}
    return {
        **deployment,
        "metadata": {**deployment["metadata"], "uid": "d", "generation": 1},
        "status": {"observedGeneration": 1, **counts},
    }


def pod(
    name: str = "billing-sub-1", *, conditions: list[dict[str, Any]] | None = None, **status: Any
) -> dict[str, Any]:
    """A pod whose container `worker` has the given status."""
    container = {"name": "worker", "image": "shop:1", "ready": False, "restartCount": 0, **status}
    return {
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": "2026-01-02T03:00:00Z"},
        "spec": {"containers": [{"name": "worker", "image": "registry.example.com/shop:1"}]},
        "status": {"conditions": conditions or [], "containerStatuses": [container]},
    }


def autoscaling(**block: Any) -> dict[str, Any]:
    """The autoscaling block of a Publisher, by its outbox unless `source` says otherwise."""
    connection = {"secretName": "orders-env", "key": "DATABASE_URL"}
    source = {"type": "PostgreSQL", "postgreSQL": {"connection": connection}}
    return {"maxReplicas": 5, "source": source, **block}
