"""Resources with autoscaling, made quick enough for a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cluster import manifests

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster
    from tests.rig.hostservices import RabbitMQ

QUICK: dict[str, Any] = {
    "minReplicas": 0,
    "maxReplicas": 5,
    "targetBacklog": 10,
    "pollingIntervalSeconds": 1,
    "cooldownPeriodSeconds": 4,
    "fallback": {"failureThreshold": 2, "replicas": 1},
}


def by_queue(rabbitmq: RabbitMQ, url: str | None = None, **block: Any) -> dict[str, Any]:
    """Scale by a queue of this broker."""
    source = {"managementURL": url or rabbitmq.api.url, "credentials": {"secretName": "broker"}}
    return {**QUICK, "source": {"type": "RabbitMQ", "rabbitMQ": source}, **block}


def by_outbox(secret: str, **block: Any) -> dict[str, Any]:
    """Scale by the outbox that the key DATABASE_URL of a Secret leads to."""
    connection = {"secretName": secret, "key": "DATABASE_URL"}
    return {**QUICK, "source": {"type": "PostgreSQL", "postgreSQL": {"connection": connection}}, **block}


def subscription(name: str, **spec: Any) -> dict[str, Any]:
    """A Subscription to the queue of its own name."""
    return manifests.subscription(name, queue=name, **spec)


def replicas(cluster: Cluster, deployment: str) -> int:
    """What the Deployment is to run now."""
    number: int = cluster.must_get("deployment", deployment)["spec"]["replicas"]
    return number
