"""The autoscaling block of both kinds. The defaults equal those of `crds/`; a test compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

FallbackBehavior = Literal["CurrentReplicasIfHigher", "CurrentReplicas", "Static"]


@dataclass(frozen=True)
class Fallback:
    """What KEDA does while the backlog is unknown."""

    failure_threshold: int
    replicas: int
    """At least 1: a fallback of none would let KEDA stop the last worker because it cannot see the backlog."""
    behavior: FallbackBehavior


@dataclass(frozen=True)
class SecretParameter:
    """A parameter of a KEDA trigger that comes from a key of a Secret."""

    parameter: str
    secret: str
    key: str


@dataclass(frozen=True)
class AuthenticationRef:
    """A TriggerAuthentication, or ClusterTriggerAuthentication, of the user's."""

    kind: str
    name: str


@dataclass(frozen=True)
class RabbitMQSource:
    """The queue, as RabbitMQ's management API counts it."""

    management_url: str
    vhost: str


@dataclass(frozen=True)
class PostgreSQLSource:
    """The outbox table."""

    table: str


@dataclass(frozen=True)
class PrometheusSource:
    """A query; None is the backlog that a Publisher's workers export."""

    server_address: str
    query: str | None


Source = RabbitMQSource | PostgreSQLSource | PrometheusSource


@dataclass(frozen=True)
class Autoscaling:
    """How KEDA scales the workers."""

    min_replicas: int
    max_replicas: int
    idle_replicas: int | None
    target_backlog: int
    activation_backlog: int
    polling_interval_seconds: int
    cooldown_period_seconds: int
    fallback: Fallback
    behavior: Mapping[str, Any] | None
    source: Source
    secrets: tuple[SecretParameter, ...]
    """What the trigger takes from Secrets; a TriggerAuthentication of ours tells KEDA so."""
    authentication_ref: AuthenticationRef | None

    @property
    def floor(self) -> int:
        """Workers that run where nobody looks at the backlog."""
        return max(1, self.min_replicas)


def parse_autoscaling(spec: Mapping[str, Any]) -> Autoscaling | None:
    """Read the block of a spec; None where there is none. Missing defaults are filled in."""
    block = spec.get("autoscaling")
    if not block:
        return None
    source, min_replicas = block["source"], block.get("minReplicas", 1)
    reference = source.get("authenticationRef")
    return Autoscaling(
        min_replicas=min_replicas,
        max_replicas=block["maxReplicas"],
        idle_replicas=block.get("idleReplicas"),
        target_backlog=block.get("targetBacklog", 100),
        activation_backlog=block.get("activationBacklog", 0),
        polling_interval_seconds=block.get("pollingIntervalSeconds", 15),
        cooldown_period_seconds=block.get("cooldownPeriodSeconds", 300),
        fallback=_fallback(block.get("fallback", {}), max(1, min_replicas)),
        behavior=block.get("behavior"),
        source=_source(source),
        secrets=_secrets(source),
        authentication_ref=_reference(reference) if reference else None,
    )


def _fallback(block: Mapping[str, Any], replicas: int) -> Fallback:
    return Fallback(
        failure_threshold=block.get("failureThreshold", 3),
        replicas=block.get("replicas", replicas),
        behavior=block.get("behavior", "CurrentReplicasIfHigher"),
    )


def _source(block: Mapping[str, Any]) -> Source:
    if block["type"] == "RabbitMQ":
        rabbitmq = block["rabbitMQ"]
        return RabbitMQSource(rabbitmq["managementURL"], rabbitmq.get("vhost", "/"))
    if block["type"] == "PostgreSQL":
        return PostgreSQLSource(block["postgreSQL"].get("table", "published"))
    prometheus = block["prometheus"]
    return PrometheusSource(prometheus["serverAddress"], prometheus.get("query"))


def _secrets(block: Mapping[str, Any]) -> tuple[SecretParameter, ...]:
    credentials = block.get("rabbitMQ", {}).get("credentials")
    if credentials:
        name = credentials["secretName"]
        return (
            SecretParameter("username", name, credentials.get("usernameKey", "username")),
            SecretParameter("password", name, credentials.get("passwordKey", "password")),
        )
    connection = block.get("postgreSQL", {}).get("connection")
    if connection:
        return (SecretParameter("connection", connection["secretName"], connection["key"]),)
    return ()


def _reference(block: Mapping[str, Any]) -> AuthenticationRef:
    return AuthenticationRef(block.get("kind", "TriggerAuthentication"), block["name"])
