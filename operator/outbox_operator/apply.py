"""Carry a plan out: server-side apply of the Deployment, merge of the status. The only writer besides `events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from outbox_operator.api.conditions import INVALID_SPEC, Problem
from outbox_operator.api.resource import GROUP, VERSION, Key, Object, Resource
from outbox_operator.build.names import SPEC_HASH_ANNOTATION
from outbox_operator.diff import differences, explain_roll, first_difference, in_words
from outbox_operator.errors import InvalidError
from outbox_operator.kube import DEPLOYMENTS, Api, type_of

if TYPE_CHECKING:
    from outbox_operator.plan import Plan


@dataclass(frozen=True)
class Applied:
    """What carrying out a plan did."""

    deployment: Object | None
    created: bool = False
    changed: bool = False
    roll: str | None = None
    """Why the workers are being replaced."""
    drift: str | None = None
    """What somebody else had changed and was put back."""
    refused: Problem | None = None


async def apply_plan(api: Api, plan: Plan, live: Object | None) -> Applied:
    """Make the Deployment what the plan says; nothing is sent when it already is."""
    if plan.conflict is not None:
        return Applied(None)
    if plan.deployment is None:
        return await _scale(api, plan, live)
    try:
        if live is None:
            return Applied(await api.apply(DEPLOYMENTS, plan.deployment), created=True, changed=True)
        return await _update(api, plan.deployment, live)
    except InvalidError as error:
        message = f"The API server refuses the Deployment: {error}. Correct the spec, mostly its template."
        return Applied(live, refused=Problem(INVALID_SPEC, message))


async def _update(api: Api, wanted: Object, live: Object) -> Applied:
    if first_difference(wanted, live) is None:
        return Applied(live)
    # A dry run shows the result with the API server's defaults, so that only real changes count and are explained,
    # and it refuses an invalid template before anything is touched.
    result = await api.apply(DEPLOYMENTS, wanted, dry_run=True)
    changes = differences(_essence(result), _essence(live))
    if not changes:
        return Applied(live)
    applied = await api.apply(DEPLOYMENTS, wanted)
    same_plan = _hash(live) == _hash(wanted)
    return Applied(
        applied,
        changed=True,
        roll=explain_roll(result["spec"]["template"], live["spec"]["template"]),
        drift=in_words(changes[0]) if same_plan else None,
    )


async def _scale(api: Api, plan: Plan, live: Object | None) -> Applied:
    if plan.scale_to is None or live is None:
        return Applied(live)
    metadata = {"namespace": live["metadata"]["namespace"], "name": live["metadata"]["name"]}
    patch = {"metadata": {**metadata, "uid": live["metadata"]["uid"]}, "spec": {"replicas": plan.scale_to}}
    return Applied(await api.patch(DEPLOYMENTS, patch), changed=True)


async def write_status(api: Api, resource: Resource, status: Object, present: Object | None) -> bool:
    """Write the status if it differs from the present one; tell whether it did."""
    if status == present:
        return False
    removed = {name: None for name in (present or {}) if name not in status}
    await api.patch(type_of(resource.key.kind), _patch_of(resource.key, resource.uid, {**status, **removed}), "status")
    return True


def _patch_of(key: Key, uid: str, status: dict[str, Any]) -> Object:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": key.kind.name,
        # The uid makes the API server refuse the status of a predecessor of the same name.
        "metadata": {"namespace": key.namespace, "name": key.name, "uid": uid},
        "status": status,
    }


def _essence(deployment: Object) -> Object:
    metadata = deployment["metadata"]
    kept = ("labels", "annotations", "ownerReferences")
    return {"metadata": {name: metadata.get(name) for name in kept}, "spec": deployment["spec"]}


def _hash(deployment: Object) -> str | None:
    annotations = deployment["metadata"].get("annotations") or {}
    value = annotations.get(SPEC_HASH_ANNOTATION)
    return str(value) if value else None
