"""Whose an object is: ours to change, or somebody else's. `plan` and `children` ask before anything is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.api.conditions import NAME_CONFLICT, TERMINATING_PREDECESSOR, Problem
from outbox_operator.api.resource import GROUP, KIND_BY_NAME, Key
from outbox_operator.build.labels import MANAGED_BY, selector_labels
from outbox_operator.build.names import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outbox_operator.api.resource import Object, Resource


def controller_of(obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the owner reference of an object's controller."""
    owners: Iterable[Mapping[str, Any]] = obj["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def owner_key(child: Mapping[str, Any]) -> Key | None:
    """Return the resource that an object belongs to, or None when it is not ours."""
    owner = controller_of(child)
    if owner is None or not owner["apiVersion"].startswith(f"{GROUP}/") or owner["kind"] not in KIND_BY_NAME:
        return None
    return Key(KIND_BY_NAME[owner["kind"]], child["metadata"]["namespace"], owner["name"])


def deployment_conflict(resource: Resource, live: Object | None) -> Problem | None:
    """Return why the Deployment of our name is not ours to change, or None."""
    if live is None:
        return None
    # The selector can never be changed: a Deployment that selects other pods cannot be adopted.
    selects = live["spec"]["selector"].get("matchLabels")
    return name_conflict(resource, "Deployment", live, adoptable=selects == selector_labels(resource.key))


def name_conflict(resource: Resource, kind: str, live: Object | None, *, adoptable: bool = True) -> Problem | None:
    """Return why the object of a name that we need is not ours to change, or None.

    An orphan of ours (left by `kubectl delete --cascade=orphan`) has our labels and no owner: it is adopted.
    """
    if live is None or is_owned(resource, live):
        return None
    name, owner = live["metadata"]["name"], controller_of(live)
    if owner is None:
        if adoptable and is_orphan(resource, live):
            return None
        belongs = "was made by somebody else"
    elif (owner["kind"], owner["name"]) == (resource.key.kind.name, resource.key.name):
        message = f"{kind} {name} belongs to a deleted {owner['kind']} of this name; waiting until it is gone."
        return Problem(TERMINATING_PREDECESSOR, message)
    else:
        belongs = f"belongs to {owner['kind']} {owner['name']}"
    return Problem(
        NAME_CONFLICT,
        f"{kind} {name} is needed for the workers, but it exists and {belongs}. Rename this "
        f"{resource.key.kind.name} or remove that {kind}.",
    )


def is_owned(resource: Resource, live: Mapping[str, Any]) -> bool:
    """Tell whether this very resource controls an object."""
    owner = controller_of(live)
    return owner is not None and owner["uid"] == resource.uid


def is_orphan(resource: Resource, live: Mapping[str, Any]) -> bool:
    """Tell whether an object was left by a resource of this kind and name that was deleted without its children."""
    if controller_of(live) is not None:
        return False
    labels = live["metadata"].get("labels") or {}
    wanted = {MANAGED_BY: FIELD_MANAGER, **selector_labels(resource.key)}
    return wanted.items() <= labels.items()
