"""Carry a plan out: server-side apply of the Deployment and of its siblings, merge of the status.

The only writer besides `events`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from outbox_operator.api.conditions import INVALID_SPEC, Problem
from outbox_operator.api.resource import GROUP, VERSION, Identity, Key, Object
from outbox_operator.build.names import HANDOVER_MANAGER, SPEC_HASH_ANNOTATION
from outbox_operator.diff import differences, explain_roll, first_difference, in_words
from outbox_operator.errors import ConflictError, InvalidError
from outbox_operator.kube import DEPLOYMENTS, Api, Type, type_of, type_of_child
from outbox_operator.scaling import holds_replicas

if TYPE_CHECKING:
    from outbox_operator.build.child import ChildKind
    from outbox_operator.children import Child
    from outbox_operator.plan import Plan


@dataclass(frozen=True)
class AppliedChild:
    """What carrying out the plan did to one object beside the Deployment."""

    kind: ChildKind
    name: str
    live: Object | None
    """The object as it is now, if it is ours."""
    created: bool = False
    changed: bool = False
    removed: bool = False
    drift: str | None = None
    """What somebody else had changed and was put back."""
    refused: Problem | None = None


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
    children: tuple[AppliedChild, ...] = ()

    @property
    def wrote(self) -> bool:
        """Whether anything was written."""
        return self.changed or any(child.changed for child in self.children)


def changes(plan: Plan, live: Object | None) -> bool:
    """Tell whether carrying a plan out may change what is there, or something is in its way. Asks nobody."""
    if plan.conflict is not None or any(_changes_child(child) for child in plan.children):
        return True
    wanted = plan.deployment
    if wanted is None:
        return plan.scale_to is not None
    if live is None or ("replicas" not in wanted["spec"] and holds_replicas(live)):
        return True
    return first_difference(wanted, live) is not None


def adds(plan: Plan, live: Object | None) -> bool:
    """Tell whether carrying a plan out makes an object beside the Deployment that is there."""
    return live is not None and any(child.wanted is not None and child.live is None for child in _possible(plan))


def untouched(plan: Plan, live: Object | None) -> Applied:
    """Return the outcome of a plan that is not due."""
    wanted = [(child, child.wanted) for child in _possible(plan) if child.wanted is not None]
    children = (AppliedChild(child.kind, obj["metadata"]["name"], child.live) for child, obj in wanted)
    return Applied(live, children=tuple(children))


def _changes_child(child: Child) -> bool:
    if child.removable or child.conflict is not None:
        return True
    if child.wanted is None or child.live is None or not child.served:
        return False
    return first_difference(child.wanted, child.live) is not None


def _possible(plan: Plan) -> list[Child]:
    """Return the children that the cluster knows and nothing is in the way of."""
    return [child for child in plan.children if child.served and child.conflict is None]


async def begin(api: Api, plan: Plan) -> Object | None:
    """Make a Deployment of which nothing is known to exist; None: there is something, or it is refused.

    Nothing of somebody else's is taken over: without force, the API server refuses to change what others have set, and
    the selector of a Deployment that is not ours always is.
    """
    if plan.deployment is None:
        return None
    try:
        return await api.apply(DEPLOYMENTS, plan.deployment, force=False)
    except (ConflictError, InvalidError):
        return None


async def apply_plan(api: Api, plan: Plan, live: Object | None) -> Applied:
    """Make the Deployment and its siblings what the plan says; nothing is sent for what already is.

    What is no longer wanted goes first: an autoscaler must let go of the Deployment before its replicas are set.
    """
    removed = [await _remove(api, child) for child in reversed(plan.children) if child.removable]
    applied = await _apply_deployment(api, plan, live)
    kept = [await _apply_child(api, child, applied) for child in plan.children if child.wanted is not None]
    return replace(applied, children=(*removed, *(child for child in kept if child is not None)))


async def _apply_deployment(api: Api, plan: Plan, live: Object | None) -> Applied:
    if plan.conflict is not None:
        return Applied(None)
    if plan.deployment is None:
        return await _scale(api, plan, live)
    try:
        if live is None:
            made = await api.apply(DEPLOYMENTS, plan.deployment, force=False)
            return Applied(made, created=True, changed=True)
        return await _update(api, plan.deployment, live)
    except InvalidError as error:
        message = f"The API server refuses the Deployment: {error}. Correct the spec, mostly its template."
        return Applied(live, refused=Problem(INVALID_SPEC, message))


async def _update(api: Api, wanted: Object, live: Object) -> Applied:
    live = await _let_go_of_replicas(api, wanted, live)
    result = await _outcome(api, DEPLOYMENTS, wanted, live)
    if result is None:
        return Applied(live)
    applied = await api.apply(DEPLOYMENTS, wanted)
    roll = explain_roll(result["spec"]["template"], live["spec"]["template"])
    return Applied(applied, changed=True, roll=roll, drift=_drift(wanted, live, result))


async def _let_go_of_replicas(api: Api, wanted: Object, live: Object) -> Object:
    """Hand `replicas` over before they are left out: a field that its only owner no longer applies is reset.

    A second manager applies the present number, on condition that nobody has changed the Deployment meanwhile.
    """
    if "replicas" in wanted["spec"] or not holds_replicas(live):
        return live
    metadata = {name: live["metadata"][name] for name in ("namespace", "name", "resourceVersion")}
    partial = {name: wanted[name] for name in ("apiVersion", "kind")}
    number = {"replicas": live["spec"].get("replicas", 1)}
    return await api.apply(DEPLOYMENTS, {**partial, "metadata": metadata, "spec": number}, manager=HANDOVER_MANAGER)


async def _apply_child(api: Api, child: Child, applied: Applied) -> AppliedChild | None:
    """Apply a child that is wanted; it is only made beside a Deployment."""
    wanted, live, type_ = child.wanted, child.live, type_of_child(child.kind)
    if wanted is None or not child.served or child.conflict is not None:
        return None
    done = AppliedChild(child.kind, wanted["metadata"]["name"], live)
    try:
        if live is None:
            if applied.deployment is None:
                return None
            return replace(done, live=await api.apply(type_, wanted, force=False), created=True, changed=True)
        result = await _outcome(api, type_, wanted, live)
        if result is None:
            return done
        return replace(done, live=await api.apply(type_, wanted), changed=True, drift=_drift(wanted, live, result))
    except InvalidError as error:
        message = f"The API server refuses the {child.kind.name}: {error}. Correct the spec."
        return replace(done, refused=Problem(INVALID_SPEC, message))


async def _remove(api: Api, child: Child) -> AppliedChild:
    if child.live is None:
        raise ValueError("there is nothing to remove")
    await api.delete(type_of_child(child.kind), child.live)
    return AppliedChild(child.kind, child.live["metadata"]["name"], None, changed=True, removed=True)


async def _outcome(api: Api, type_: Type, wanted: Object, live: Object) -> Object | None:
    """Return what applying would give, or None when it would change nothing.

    A dry run shows the result with the API server's defaults, so that only real changes count and are explained, and
    it refuses an invalid object before anything is touched.
    """
    if first_difference(wanted, live) is None:
        return None
    result = await api.apply(type_, wanted, dry_run=True)
    return result if differences(_essence(result), _essence(live)) else None


def _drift(wanted: Object, live: Object, result: Object) -> str | None:
    """Say what somebody else had changed, or return None when it is the plan that is new."""
    if _hash(live) != _hash(wanted):
        return None
    return in_words(differences(_essence(result), _essence(live))[0])


async def _scale(api: Api, plan: Plan, live: Object | None) -> Applied:
    if plan.scale_to is None or live is None:
        return Applied(live)
    metadata = {"namespace": live["metadata"]["namespace"], "name": live["metadata"]["name"]}
    patch = {"metadata": {**metadata, "uid": live["metadata"]["uid"]}, "spec": {"replicas": plan.scale_to}}
    return Applied(await api.patch(DEPLOYMENTS, patch), changed=True)


async def write_status(api: Api, subject: Identity, status: Object, present: Object | None) -> Object | None:
    """Write the status if it differs from the present one; return the resource as it is then."""
    if status == present:
        return None
    removed = {name: None for name in (present or {}) if name not in status}
    patch = _patch_of(subject.key, subject.uid, {**status, **removed})
    return await api.patch(type_of(subject.key.kind), patch, "status")


def _patch_of(key: Key, uid: str, status: dict[str, Any]) -> Object:
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": key.kind.name,
        # The uid makes the API server refuse the status of a predecessor of the same name.
        "metadata": {"namespace": key.namespace, "name": key.name, "uid": uid},
        "status": status,
    }


def _essence(obj: Object) -> Object:
    metadata = obj["metadata"]
    kept = ("labels", "annotations", "ownerReferences")
    return {"metadata": {name: metadata.get(name) for name in kept}, "spec": obj["spec"]}


def _hash(obj: Object) -> str | None:
    annotations = obj["metadata"].get("annotations") or {}
    value = annotations.get(SPEC_HASH_ANNOTATION)
    return str(value) if value else None
