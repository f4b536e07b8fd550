"""Decide about the objects beside the Deployment. Pure; `plan` asks, `apply` carries out.

A kind of child is one line in `_BUILDERS`: the builder returns the object, or None when the resource wants none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from outbox_operator.api.conditions import TERMINATING_PREDECESSOR, Problem
from outbox_operator.api.resource import Object, Resource
from outbox_operator.build.child import (
    KEDA_KINDS,
    POD_DISRUPTION_BUDGET,
    SCALED_OBJECT,
    TRIGGER_AUTHENTICATION,
    ChildKind,
)
from outbox_operator.build.disruption import disruption_budget
from outbox_operator.build.scaled_object import scaled_object, trigger_authentication
from outbox_operator.ownership import is_orphan, is_owned, name_conflict
from outbox_operator.scaling import is_stuck, most_workers

Builder = Callable[[Resource, Object | None], Object | None]
"""Takes the resource and its present Deployment."""


def _disruption_budget(resource: Resource, deployment: Object | None) -> Object | None:
    return disruption_budget(resource, most_workers(resource, deployment))


def _trigger_authentication(resource: Resource, _: Object | None) -> Object | None:
    autoscaling = resource.worker.autoscaling
    return trigger_authentication(resource, autoscaling) if autoscaling else None


def _scaled_object(resource: Resource, deployment: Object | None) -> Object | None:
    autoscaling = resource.worker.autoscaling
    return scaled_object(resource, autoscaling, hold_scale_out=is_stuck(deployment)) if autoscaling else None


_BUILDERS: Final[Mapping[ChildKind, Builder]] = {
    POD_DISRUPTION_BUDGET: _disruption_budget,
    TRIGGER_AUTHENTICATION: _trigger_authentication,
    SCALED_OBJECT: _scaled_object,
}
CHILD_KINDS: Final = tuple(_BUILDERS)


@dataclass(frozen=True)
class Present:
    """What there is of one kind of child."""

    live: Object | None = None
    served: bool = True
    """Whether the cluster knows the kind at all; a custom resource of somebody else's may not be installed."""


@dataclass(frozen=True)
class Child:
    """What should become of one child."""

    kind: ChildKind
    wanted: Object | None
    """The object to apply; None: there should be none."""
    live: Object | None
    """What is there; with neither a wish nor a conflict, it is removed."""
    served: bool = True
    conflict: Problem | None = None
    """Why the name cannot be used."""

    @property
    def removable(self) -> bool:
        """Whether there is something of ours that is no longer wanted."""
        return self.wanted is None and self.live is not None and self.conflict is None and not _is_going(self.live)


def kinds_to_look_at(resource: Resource, *, scaled_before: bool) -> tuple[ChildKind, ...]:
    """Return the kinds that a resource has or may have; KEDA's objects are not looked for where none can be."""
    if resource.worker.autoscaling is not None or scaled_before:
        return CHILD_KINDS
    return tuple(kind for kind in CHILD_KINDS if kind not in KEDA_KINDS)


def plan_children(
    resource: Resource, deployment: Object | None, present: Mapping[ChildKind, Present]
) -> tuple[Child, ...]:
    """Decide about every kind of child that has been looked at."""
    return tuple(_plan(resource, deployment, kind, present[kind]) for kind in CHILD_KINDS if kind in present)


def _plan(resource: Resource, deployment: Object | None, kind: ChildKind, present: Present) -> Child:
    wanted, live = _BUILDERS[kind](resource, deployment), present.live
    if wanted is not None:
        conflict = name_conflict(resource, kind.name, live) or _still_going(kind, live)
        return Child(kind, wanted, live, present.served, conflict)
    # What is not ours is not in our way when we want nothing: no removal, and nothing to report.
    ours = live is not None and (is_owned(resource, live) or is_orphan(resource, live))
    return Child(kind, None, live if ours else None, present.served)


def _still_going(kind: ChildKind, live: Object | None) -> Problem | None:
    if live is None or not _is_going(live):
        return None
    message = f"{kind.name} {live['metadata']['name']} is still being deleted; waiting until it is gone."
    return Problem(TERMINATING_PREDECESSOR, message)


def _is_going(live: Object) -> bool:
    return bool(live["metadata"].get("deletionTimestamp"))
