"""The condition AutoscalingReady: what KEDA says of the ScaledObject, and what is in its way. Pure; `status` asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.api import conditions as api
from outbox_operator.api.conditions import Condition, Problem
from outbox_operator.build.child import KEDA_KINDS, SCALED_OBJECT
from outbox_operator.build.names import deployment_name
from outbox_operator.scaling import is_stuck

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.autoscaling import Autoscaling
    from outbox_operator.api.resource import Object, Resource
    from outbox_operator.children import Child
    from outbox_operator.plan import Plan

QUIET = frozenset({api.NOT_CONFIGURED, api.SCALING, api.STATE_SUSPENDED, api.PAUSED})
"""Reasons that do not go away by themselves, or need not."""


def autoscaling_ready(
    resource: Resource, plan: Plan, deployment: Object | None, refused: Problem | None = None
) -> Condition:
    """Tell whether KEDA scales the workers; `refused` is why the API server did not take one of KEDA's objects."""
    autoscaling = resource.worker.autoscaling
    if autoscaling is None:
        return Condition(api.AUTOSCALING_READY, "Unknown", api.NOT_CONFIGURED, "spec.autoscaling is not set.")
    children = {child.kind: child for child in plan.children}
    found = children.get(SCALED_OBJECT)
    if plan.conflict is not None or plan.paused:
        return _unknown(api.ON_HOLD, "Not looked at, see Ready and Suspended.")
    conflicts = (child.conflict for kind, child in children.items() if kind in KEDA_KINDS and child.conflict)
    problem = _absence(autoscaling, found) or next(conflicts, None) or refused or plan.unresolved_scaler
    problem = problem or _pause(resource, deployment)
    if problem is not None:
        return _not_ready(problem.reason, problem.message)
    return mirrored(resource, autoscaling, found.live if found else None)


def _absence(autoscaling: Autoscaling, scaled_object: Child | None) -> Problem | None:
    if scaled_object is None or scaled_object.served:
        return None
    run = "worker runs" if autoscaling.floor == 1 else "workers run"
    return Problem(
        api.KEDA_NOT_INSTALLED,
        "KEDA is not installed: the cluster does not know ScaledObjects. No backlog is looked at; at least "
        f"{autoscaling.floor} {run}. Once KEDA is there, it takes over by itself.",
    )


def _pause(resource: Resource, deployment: Object | None) -> Problem | None:
    """Return why we have paused KEDA ourselves, or None."""
    if resource.worker.suspended:
        return Problem(api.STATE_SUSPENDED, "KEDA is paused because spec.state is Suspended.")
    if is_stuck(deployment):
        message = "The roll makes no progress, see Ready; KEDA adds no workers until it goes on."
        return Problem(api.SCALE_UP_HELD, message)
    return None


def mirrored(resource: Resource, autoscaling: Autoscaling, live: Mapping[str, Any] | None) -> Condition:
    """Return what the ScaledObject's own conditions say."""
    found = {item["type"]: item for item in (live or {}).get("status", {}).get("conditions", ())}
    described = f"`kubectl -n {resource.key.namespace} describe scaledobject {deployment_name(resource.key)}`"
    ready = found.get("Ready", {})
    if _is(found, "Paused", "True"):
        message = "The ScaledObject carries an annotation of KEDA's that pauses it; remove the annotation."
        return _not_ready(api.PAUSED, message)
    if ready.get("status") == "False":
        said = f"{ready.get('reason', '')}: {ready.get('message', '')}".strip(": ")
        return _not_ready(api.SCALED_OBJECT_NOT_READY, f"KEDA cannot scale: {said}. See {described}.")
    if _is(found, "Fallback", "True"):
        fallback = autoscaling.fallback
        message = (
            f"KEDA cannot read the backlog and runs the workers of the fallback ({fallback.behavior}, "
            f"{fallback.replicas}). See the Events of {described} for the cause."
        )
        return _not_ready(api.FALLBACK_ACTIVE, message)
    if _is(found, "HPAActive", "False"):
        said = str(found["HPAActive"].get("message", "")).rstrip(".")
        message = f"The number of workers stays as it is: {said}. See the Events of {described}."
        return _not_ready(api.METRIC_UNAVAILABLE, message)
    if ready.get("status") != "True":
        return _unknown(api.WAITING_FOR_KEDA, "KEDA has not looked at the ScaledObject yet; is its operator running?")
    least = autoscaling.min_replicas if autoscaling.idle_replicas is None else autoscaling.idle_replicas
    message = f"KEDA runs {least} to {autoscaling.max_replicas} workers, by the backlog."
    return Condition(api.AUTOSCALING_READY, "True", api.SCALING, message)


def _is(found: Mapping[str, Mapping[str, Any]], type_: str, status: str) -> bool:
    return found.get(type_, {}).get("status") == status


def _not_ready(reason: str, message: str) -> Condition:
    return Condition(api.AUTOSCALING_READY, "False", reason, message)


def _unknown(reason: str, message: str) -> Condition:
    return Condition(api.AUTOSCALING_READY, "Unknown", reason, message)
