"""The ScaledObject that has KEDA scale the Deployment of a resource, and the TriggerAuthentication it may need.

Both are applied server-side: only the fields that we decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outbox_operator.build.child import SCALED_OBJECT, TRIGGER_AUTHENTICATION, child
from outbox_operator.build.copies import copied
from outbox_operator.build.names import CONTAINER, deployment_name
from outbox_operator.build.triggers import trigger

if TYPE_CHECKING:
    from outbox_operator.api.autoscaling import Autoscaling, Fallback
    from outbox_operator.api.resource import Resource

PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
"""Annotation: KEDA sets this many workers and scales no more."""
PAUSED_SCALE_OUT: Final = "autoscaling.keda.sh/paused-scale-out"
"""Annotation: KEDA adds no workers."""

_BEHAVIORS: Final = {
    "CurrentReplicasIfHigher": "currentReplicasIfHigher",
    "CurrentReplicas": "currentReplicas",
    "Static": "static",
}


def scaled_object(resource: Resource, autoscaling: Autoscaling, *, hold_scale_out: bool = False) -> dict[str, Any]:
    """Build the ScaledObject. With `hold_scale_out`, KEDA adds no workers until it is applied again without."""
    spec: dict[str, Any] = {
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": deployment_name(resource.key),
            "envSourceContainerName": CONTAINER,
        },
        "minReplicaCount": autoscaling.min_replicas,
        "maxReplicaCount": autoscaling.max_replicas,
        "pollingInterval": autoscaling.polling_interval_seconds,
        "cooldownPeriod": autoscaling.cooldown_period_seconds,
        # A worker that has just been started, by us or by hand, has as long as one that has just become idle.
        "initialCooldownPeriod": autoscaling.cooldown_period_seconds,
        "fallback": _fallback(autoscaling.fallback),
        "triggers": [{**trigger(resource, autoscaling), **_authentication(resource, autoscaling)}],
    }
    if autoscaling.idle_replicas is not None:
        spec["idleReplicaCount"] = autoscaling.idle_replicas
    if autoscaling.behavior:
        behavior = copied(dict(autoscaling.behavior))
        spec["advanced"] = {"horizontalPodAutoscalerConfig": {"behavior": behavior}}
    annotations = _annotations(suspended=resource.worker.suspended, hold_scale_out=hold_scale_out)
    return _without_blocking(child(resource, SCALED_OBJECT.api_version, SCALED_OBJECT.name, spec, annotations))


def trigger_authentication(resource: Resource, autoscaling: Autoscaling) -> dict[str, Any] | None:
    """Build the TriggerAuthentication that names the keys of a Secret; None where no Secret is named."""
    if not autoscaling.secrets:
        return None
    keys = [{"parameter": item.parameter, "name": item.secret, "key": item.key} for item in autoscaling.secrets]
    kind = TRIGGER_AUTHENTICATION
    return _without_blocking(child(resource, kind.api_version, kind.name, {"secretTargetRef": keys}))


def _without_blocking(obj: dict[str, Any]) -> dict[str, Any]:
    """Return the object with owners whose deletion does not wait for it.

    KEDA puts a finalizer on its objects. Should KEDA be gone, that must not hold up the deletion of our resource.
    """
    owners = [{**owner, "blockOwnerDeletion": False} for owner in obj["metadata"]["ownerReferences"]]
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": owners}}


def _fallback(fallback: Fallback) -> dict[str, Any]:
    return {
        "failureThreshold": fallback.failure_threshold,
        "replicas": fallback.replicas,
        "behavior": _BEHAVIORS[fallback.behavior],
    }


def _authentication(resource: Resource, autoscaling: Autoscaling) -> dict[str, Any]:
    reference = autoscaling.authentication_ref
    if reference is not None:
        return {"authenticationRef": {"kind": reference.kind, "name": reference.name}}
    if autoscaling.secrets:
        name = deployment_name(resource.key)
        return {"authenticationRef": {"kind": "TriggerAuthentication", "name": name}}
    return {}


def _annotations(*, suspended: bool, hold_scale_out: bool) -> dict[str, str]:
    if suspended:
        return {PAUSED_REPLICAS: "0"}
    return {PAUSED_SCALE_OUT: "true"} if hold_scale_out else {}
