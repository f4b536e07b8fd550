"""Decide about the objects beside the Deployment. Pure; `plan` asks, `apply` carries out.

A kind of child is one line in `_BUILDERS`: the builder returns the object, or None when the resource wants none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from outbox_operator.api.resource import Object, Resource
from outbox_operator.build.child import POD_DISRUPTION_BUDGET, ChildKind
from outbox_operator.build.disruption import disruption_budget
from outbox_operator.ownership import is_owned, name_conflict

if TYPE_CHECKING:
    from outbox_operator.api.conditions import Problem

Builder = Callable[[Resource], Object | None]

_BUILDERS: Final[Mapping[ChildKind, Builder]] = {POD_DISRUPTION_BUDGET: disruption_budget}
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
        return self.wanted is None and self.live is not None and self.conflict is None


def plan_children(resource: Resource, present: Mapping[ChildKind, Present]) -> tuple[Child, ...]:
    """Decide about every kind of child that has been looked at."""
    return tuple(_plan(resource, kind, present[kind]) for kind in CHILD_KINDS if kind in present)


def _plan(resource: Resource, kind: ChildKind, present: Present) -> Child:
    wanted, live = _BUILDERS[kind](resource), present.live
    if wanted is not None:
        return Child(kind, wanted, live, present.served, name_conflict(resource, kind.name, live))
    # What is not ours is not in our way when we want nothing: no removal, and nothing to report.
    ours = live is not None and is_owned(resource, live)
    return Child(kind, None, live if ours else None, present.served)
