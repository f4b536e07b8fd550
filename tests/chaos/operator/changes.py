"""What people do to objects while everything breaks, one function for each change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.chaos.lanes import NobodyThereError
from tests.chaos.operator import scene
from tests.chaos.operator.plan import Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.operator.people import People
    from tests.chaos.plan import Fault


def carry_out(people: People, fault: Fault) -> None:
    """Change the object that a fault names; raises NobodyThereError when it is not there."""
    if not _done(people, fault):
        raise NobodyThereError


def _done(people: People, fault: Fault) -> bool:
    if fault.target in scene.SECRETS:
        return _of_secret(people, fault)
    if fault.target in scene.WORKLOADS:
        return _of_workload(people, fault)
    return _OF_RESOURCE[Change(fault.kind)](people, fault)


def _of_secret(people: People, fault: Fault) -> bool:
    if fault.kind is Change.DATA:
        return people.patch("Secret", fault.target, {"stringData": {"TOKEN": fault.detail}})
    return _remove(people, "Secret", fault, scene.referred(fault.target))


def _of_workload(people: People, fault: Fault) -> bool:
    if fault.kind is Change.IMAGE:
        return _set_image(people, fault.target, "web", fault.detail)
    return _remove(people, "Deployment", fault, scene.referred(fault.target))


def _remove(people: People, kind: str, fault: Fault, again: dict[str, Any], propagation: str = "Background") -> bool:
    """Delete an object and make it again after the fault's time, also when somebody else deleted it before."""
    there = people.delete(kind, fault.target, propagation)
    time.sleep(fault.seconds)
    people.create(again)
    return there


def _remove_resource(people: People, fault: Fault) -> bool:
    propagation = "Orphan" if fault.kind is Change.ORPHAN else "Background"
    again = scene.resource(fault.target)
    there = _remove(people, again["kind"], fault, again, propagation)
    # An orphaning deletion ends only when the garbage collector has let go of the children.
    while people.get(again["kind"], fault.target) is None or _is_going(people, fault):
        time.sleep(0.3)
        people.create(again)
    return there


def _is_going(people: People, fault: Fault) -> bool:
    found = people.get(scene.kind_of(fault.target), fault.target)
    return found is None or "deletionTimestamp" in found["metadata"]


def _spec(patch_of: Callable[[str], dict[str, Any]]) -> Callable[[People, Fault], bool]:
    def change(people: People, fault: Fault) -> bool:
        return people.patch(scene.kind_of(fault.target), fault.target, {"spec": patch_of(fault.detail)})

    return change


def _image(people: People, fault: Fault) -> bool:
    if "workloadRef" in scene.resource(fault.target)["spec"]:
        raise NobodyThereError
    return people.patch(scene.kind_of(fault.target), fault.target, {"spec": {"image": fault.detail}})


def _status(people: People, fault: Fault) -> bool:
    status = {"observedGeneration": 999, "readyReplicas": 77, "conditions": []}
    return people.patch(scene.kind_of(fault.target), fault.target, {"status": status}, "/status")


def _child_deleted(people: People, fault: Fault) -> bool:
    return people.delete("Deployment", scene.child_of(fault.target))


def _child_edited(people: People, fault: Fault) -> bool:
    return _set_image(people, scene.child_of(fault.target), "worker", fault.detail)


def _child_scaled(people: People, fault: Fault) -> bool:
    return people.patch("Deployment", scene.child_of(fault.target), {"spec": {"replicas": int(fault.detail)}})


def _child_stripped(people: People, fault: Fault) -> bool:
    labels = {"app.kubernetes.io/instance": None, "app.kubernetes.io/part-of": "elsewhere"}
    patch = {"metadata": {"labels": labels, "ownerReferences": None}}
    return people.patch("Deployment", scene.child_of(fault.target), patch)


def _set_image(people: People, name: str, container: str, image: str) -> bool:
    """Change a container's image and leave the rest as it is; not there also means another generation of it."""
    found = people.get("Deployment", name)
    if found is None:
        return False
    containers = found["spec"]["template"]["spec"]["containers"]
    changed = [{**item, "image": image} if item["name"] == container else item for item in containers]
    return people.patch("Deployment", name, {"spec": {"template": {"spec": {"containers": changed}}}})


_OF_RESOURCE: dict[Change, Callable[[People, Fault], bool]] = {
    Change.IMAGE: _image,
    Change.SCALE: _spec(lambda detail: {"replicas": int(detail)}),
    Change.STATE: _spec(lambda detail: {"state": detail}),
    Change.ENVIRONMENT: _spec(lambda detail: {"envFrom": [{"secretRef": {"name": detail}}]}),
    Change.REMOVE: _remove_resource,
    Change.REPLACE: _remove_resource,
    Change.ORPHAN: _remove_resource,
    Change.STATUS: _status,
    Change.CHILD_DELETED: _child_deleted,
    Change.CHILD_EDITED: _child_edited,
    Change.CHILD_SCALED: _child_scaled,
    Change.CHILD_STRIPPED: _child_stripped,
}
