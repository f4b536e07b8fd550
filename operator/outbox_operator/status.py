"""The status of a resource, computed wholly from what is, never toggled. Pure; one function for each condition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox_operator.api import conditions as api
from outbox_operator.api.conditions import Condition, Problem
from outbox_operator.api.marks import RECONCILE
from outbox_operator.autoscaling import QUIET, autoscaling_ready
from outbox_operator.build.child import KEDA_KINDS
from outbox_operator.build.labels import selector
from outbox_operator.build.names import deployment_name
from outbox_operator.diagnosis import diagnose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from outbox_operator.api.resource import Object, Resource
    from outbox_operator.plan import Plan

_MAX_MESSAGE = 2000
_MAX_CONFIG_REFS = 64


class Counts(NamedTuple):
    """Workers as the Deployment counts them."""

    replicas: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0


@dataclass(frozen=True)
class Outcome:
    """What there is after a plan was carried out."""

    deployment: Object | None
    """The Deployment as it is now, if it is ours."""
    now: datetime
    pods: Sequence[Mapping[str, Any]] = ()
    refused: Problem | None = None
    """Why the API server refused the Deployment."""
    refused_children: tuple[Problem, ...] = ()
    """Why the API server refused objects beside it."""
    refused_scaler: Problem | None = None
    """Why the API server refused one of KEDA's objects."""


def status(resource: Resource, plan: Plan, outcome: Outcome) -> Object:
    """Return the whole status except the times of transition; see `stamp`."""
    counts = _counts(outcome.deployment)
    found = [
        ready(resource, plan, outcome),
        progressing(resource, plan, outcome),
        config_resolved(plan),
        autoscaling_ready(resource, plan, outcome.deployment, outcome.refused_scaler),
        suspended(resource, counts),
    ]
    fields: dict[str, Any] = {
        "observedGeneration": resource.generation,
        "deploymentName": deployment_name(resource.key),
        "selector": selector(resource.key),
        "desiredReplicas": plan.desired_replicas,
        "replicas": counts.replicas,
        "updatedReplicas": counts.updated,
        "readyReplicas": counts.ready,
        "conditions": _listed(found, resource.generation),
    }
    if plan.image:
        fields["image"] = plan.image
    if plan.versions:
        found_versions = sorted(plan.versions.items())[:_MAX_CONFIG_REFS]
        fields["configRefs"] = [
            {"kind": ref.kind, "name": ref.name, "version": version} for ref, version in found_versions
        ]
    if plan.followed is not None:
        name, revision = plan.followed
        fields["workload"] = {"name": name, "revision": revision}
    return fields


def unreadable(kept: Mapping[str, Any] | None, generation: int, message: str) -> Object:
    """Return the status of a resource that breaks the rules of the schema, so that nothing can be planned for it.

    Its workers stay as they are, and so do their numbers in the status.
    """
    found = [
        Condition(api.READY, "False", api.INVALID_SPEC, message),
        Condition(api.PROGRESSING, "False", api.ON_HOLD, f"Nothing is rolled out: {api.INVALID_SPEC}, see Ready."),
        Condition(api.CONFIG_RESOLVED, "Unknown", api.REFERENCES_UNKNOWN, "Not looked at, see Ready."),
        Condition(api.SUSPENDED, "Unknown", api.INVALID_SPEC, "Not known, see Ready."),
    ]
    return {**(kept or {}), "observedGeneration": generation, "conditions": _listed(found, generation)}


def _listed(found: Sequence[Condition], generation: int) -> list[Object]:
    return [
        {
            "type": condition.type,
            "status": condition.status,
            "observedGeneration": generation,
            "reason": condition.reason,
            "message": condition.message[:_MAX_MESSAGE],
        }
        for condition in found
    ]


def ready(resource: Resource, plan: Plan, outcome: Outcome) -> Condition:
    """Summarise: True when as many workers as wanted are available and nothing is in the way."""
    counts = _counts(outcome.deployment)
    blocker = outcome.refused or plan.blocker
    if blocker is not None:
        return Condition(api.READY, "False", blocker.reason, blocker.message + _still_running(counts))
    if resource.worker.suspended:
        return Condition(api.READY, "False", api.STATE_SUSPENDED, "No workers run because spec.state is Suspended.")
    if plan.desired_replicas == 0:
        return Condition(api.READY, "True", api.SCALED_TO_ZERO, f"No workers are wanted: {_why_none(resource)}.")
    problem = None if _is_complete(plan, outcome.deployment) else _trouble(resource, outcome)
    problem = problem or children_problem(plan, outcome)
    if problem is not None:
        return Condition(api.READY, "False", problem.reason, problem.message + _still_running(counts))
    # While a new spec has not been seen yet, the workers of the last one are what is there, and they go on.
    if _was_observed(outcome.deployment) and counts.available >= plan.desired_replicas:
        return Condition(api.READY, "True", api.WORKERS_AVAILABLE, f"{_workers(counts.available)} available.")
    reason, rest = (
        (api.RECONCILIATION_PAUSED, "reconciling is paused")
        if plan.paused
        else (api.WORKERS_STARTING, "the others are starting")
    )
    message = f"{counts.available} of {plan.desired_replicas} workers are available; {rest}."
    return Condition(api.READY, "False", reason, message)


def progressing(resource: Resource, plan: Plan, outcome: Outcome) -> Condition:
    """Tell whether workers are being started or replaced."""
    if plan.paused:
        message = "Nothing is rolled out: reconciling is paused by annotation."
        return Condition(api.PROGRESSING, "False", api.RECONCILIATION_PAUSED, message)
    blocker = outcome.refused or plan.blocker
    if blocker is not None:
        return Condition(api.PROGRESSING, "False", api.ON_HOLD, f"Nothing is rolled out: {blocker.reason}, see Ready.")
    if _deadline_exceeded(outcome.deployment):
        seconds = resource.worker.progress_deadline_seconds
        message = f"The roll made no progress for {seconds} s; it goes on by itself once the cause, see Ready, is gone."
        return Condition(api.PROGRESSING, "False", api.PROGRESS_DEADLINE_EXCEEDED, message)
    if _is_complete(plan, outcome.deployment):
        return Condition(api.PROGRESSING, "False", api.ROLLOUT_COMPLETE, "All workers are of the newest revision.")
    counts = _counts(outcome.deployment)
    message = f"{counts.updated} of {plan.desired_replicas} workers are of the newest revision, {counts.ready} ready."
    return Condition(api.PROGRESSING, "True", api.ROLLING_OUT, message)


def config_resolved(plan: Plan) -> Condition:
    """Tell whether whatever the resource refers to exists."""
    if plan.unresolved is not None:
        return Condition(api.CONFIG_RESOLVED, "False", plan.unresolved.reason, plan.unresolved.message)
    if plan.conflict is not None or plan.rejected is not None:
        return Condition(api.CONFIG_RESOLVED, "Unknown", api.REFERENCES_UNKNOWN, "Not looked at, see Ready.")
    message = "Everything that the resource refers to exists."
    return Condition(api.CONFIG_RESOLVED, "True", api.ALL_REFERENCES_FOUND, message)


def suspended(resource: Resource, counts: Counts) -> Condition:
    """Tell whether the resource is suspended, or reconciling is paused."""
    if resource.paused:
        message = f"Annotation {RECONCILE} is Paused: nothing but this status is written until it is removed."
        return Condition(api.SUSPENDED, "True", api.RECONCILIATION_PAUSED, message)
    if not resource.worker.suspended:
        return Condition(api.SUSPENDED, "False", api.STATE_RUNNING, "spec.state is Running.")
    if counts.replicas:
        message = f"{_workers(counts.replicas)} finishing and stopping."
        return Condition(api.SUSPENDED, "True", api.SUSPENDING, message)
    return Condition(api.SUSPENDED, "True", api.STATE_SUSPENDED, "spec.state is Suspended; no workers run.")


def stamp(new: Object, old: Mapping[str, Any] | None, now: datetime) -> Object:
    """Return the status with times: a condition keeps its time as long as its status stays the same."""
    before = {item["type"]: item for item in (old or {}).get("conditions", ())}
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    stamped = []
    for condition in new["conditions"]:
        previous = before.get(condition["type"])
        same = previous is not None and previous.get("status") == condition["status"]
        kept = previous["lastTransitionTime"] if same and previous is not None else time
        stamped.append({**condition, "lastTransitionTime": kept})
    return {**new, "conditions": stamped}


def is_settled(plan: Plan, outcome: Outcome) -> bool:
    """Tell whether nothing is expected to change by itself; if not, `reconcile` looks again soon."""
    if plan.paused:
        return True
    blocked = outcome.refused or plan.blocker
    return not blocked and not children_problem(plan, outcome) and _is_complete(plan, outcome.deployment)


def awaits_keda(status_: Mapping[str, Any]) -> bool:
    """Tell whether autoscaling is not as it should be, which no event of ours will tell when it changes."""
    condition = condition_of(status_, api.AUTOSCALING_READY)
    return condition is not None and condition["reason"] not in QUIET


def was_scaled(resource: Resource, status_: Mapping[str, Any] | None) -> bool:
    """Tell whether there may be objects of KEDA's, by the last status; where none is known, there may be.

    For a resource that has never been changed, its spec has the answer already.
    """
    if resource.generation == 1:
        return resource.worker.autoscaling is not None
    condition = condition_of(status_, api.AUTOSCALING_READY)
    if condition is None or condition["reason"] != api.NOT_CONFIGURED:
        return True
    return int(condition.get("observedGeneration", 0)) != resource.generation


def children_problem(plan: Plan, outcome: Outcome) -> Problem | None:
    """Return why an object beside the Deployment is not as it should be, or None."""
    # Those of KEDA's objects are told by AutoscalingReady; the workers do without.
    conflicts = (child.conflict for child in plan.children if child.conflict and child.kind not in KEDA_KINDS)
    return next(iter((*conflicts, *outcome.refused_children)), None)


def needs_pods(deployment: Mapping[str, Any] | None) -> bool:
    """Tell whether the pods have to be looked at to know how the workers are."""
    if deployment is None or not _was_observed(deployment):
        return False
    counts, wanted = _counts(deployment), deployment["spec"].get("replicas", 1)
    return not (counts.available >= wanted and counts.updated >= wanted and counts.replicas == wanted)


def condition_of(status_: Mapping[str, Any] | None, type_: str) -> Mapping[str, Any] | None:
    """Return a condition of a status, or None."""
    return next((item for item in (status_ or {}).get("conditions", ()) if item["type"] == type_), None)


def _trouble(resource: Resource, outcome: Outcome) -> Problem | None:
    problem = diagnose(resource, outcome.pods, outcome.now)
    if problem is not None:
        return problem
    failure = _deployment_condition(outcome.deployment, "ReplicaFailure")
    if failure is not None and failure["status"] == "True":
        message = f"The cluster refuses to create the workers' pods: {failure.get('message', failure.get('reason'))}."
        return Problem(api.PODS_NOT_CREATED, message)
    if _deadline_exceeded(outcome.deployment):
        name = outcome.deployment["metadata"]["name"] if outcome.deployment else ""
        message = f"The workers made no progress for {resource.worker.progress_deadline_seconds} s. See `kubectl -n "
        return Problem(
            api.PROGRESS_DEADLINE_EXCEEDED, f"{message}{resource.key.namespace} describe deployment {name}`."
        )
    return None


def _is_complete(plan: Plan, deployment: Mapping[str, Any] | None) -> bool:
    if deployment is None or not _is_observed(deployment):
        return False
    counts, wanted = _counts(deployment), plan.desired_replicas
    return counts.updated == wanted and counts.replicas == wanted and counts.available >= wanted


def _is_observed(deployment: Mapping[str, Any] | None) -> bool:
    """Tell whether the counts of a Deployment are about its present spec."""
    if deployment is None:
        return False
    seen: int = deployment.get("status", {}).get("observedGeneration", 0)
    return seen >= int(deployment["metadata"].get("generation", 0))


def _was_observed(deployment: Mapping[str, Any] | None) -> bool:
    """Tell whether the Deployment controller has ever looked at a Deployment; before that it counts nothing."""
    return bool((deployment or {}).get("status", {}).get("observedGeneration"))


def _deadline_exceeded(deployment: Mapping[str, Any] | None) -> bool:
    condition = _deployment_condition(deployment, "Progressing")
    return condition is not None and condition.get("reason") == "ProgressDeadlineExceeded"


def _deployment_condition(deployment: Mapping[str, Any] | None, type_: str) -> Mapping[str, Any] | None:
    found = (deployment or {}).get("status", {}).get("conditions", ())
    return next((item for item in found if item["type"] == type_), None)


def _counts(deployment: Mapping[str, Any] | None) -> Counts:
    found = (deployment or {}).get("status", {})
    names = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return Counts(*(found.get(name, 0) for name in names))


def _still_running(counts: Counts) -> str:
    if not counts.available:
        return ""
    if counts.available == 1:
        return " 1 worker that was started before goes on."
    return f" {counts.available} workers that were started before go on."


def _why_none(resource: Resource) -> str:
    if resource.worker.autoscaling is not None:
        return "there is no work, KEDA starts them when there is"
    return "spec.replicas is 0" if resource.worker.replicas == 0 else "the Deployment was scaled to 0"


def _workers(number: int) -> str:
    return f"{number} {'worker is' if number == 1 else 'workers are'}"
