"""Whether the cluster is what its resources say. Pure: a snapshot in, complaints out.

Held against two measures: the product's own plan and status for each resource, computed from the snapshot, and facts
that need nothing of the product.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from outbox_operator.api.conditions import TYPES
from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME
from outbox_operator.diff import first_difference
from outbox_operator.observe import observe, observe_pods
from outbox_operator.plan import plan
from outbox_operator.status import Outcome, status
from tests.chaos.operator.scene import FOREIGN, SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox_operator.kube import Type

MANAGED = ("app.kubernetes.io/managed-by", "outbox-operator")
_PLURALS = {
    "publishers": "Publisher",
    "subscriptions": "Subscription",
    "deployments": "Deployment",
    "secrets": "Secret",
    "configmaps": "ConfigMap",
    "pods": "Pod",
    "poddisruptionbudgets": "PodDisruptionBudget",
}


@dataclass(frozen=True)
class Snapshot:
    """Everything in the namespace, by kind. The operator's `observe` reads it as it would read the cluster."""

    objects: dict[str, list[dict[str, Any]]]

    async def get(self, type_: Type, namespace: str, name: str) -> dict[str, Any] | None:
        return self.named(_PLURALS.get(type_.plural, type_.plural), name)

    get_of_known_kind = get

    async def list(self, type_: Type, namespace: str | None, selector: str = "") -> list[dict[str, Any]]:
        label, _, value = selector.partition("=")
        found = self.objects.get(_PLURALS.get(type_.plural, type_.plural), [])
        return [obj for obj in found if (obj["metadata"].get("labels") or {}).get(label) == value]

    def named(self, kind: str, name: str) -> dict[str, Any] | None:
        return next((obj for obj in self.objects.get(kind, []) if obj["metadata"]["name"] == name), None)

    def versions(self, *without: str) -> dict[str, str]:
        """Return the resourceVersion of each object by its uid, except of some kinds."""
        kinds = (objects for kind, objects in self.objects.items() if kind not in without)
        return {obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"] for objects in kinds for obj in objects}

    @property
    def resources(self) -> list[dict[str, Any]]:
        return [*self.objects["Publisher"], *self.objects["Subscription"]]


def complaints(snapshot: Snapshot) -> list[str]:
    """Return in what the cluster differs from what its resources say; empty when in nothing."""
    found = [words for obj in snapshot.resources for words in _of_resource(snapshot, obj)]
    return [*found, *_of_the_whole(snapshot)]


def _of_resource(snapshot: Snapshot, obj: dict[str, Any]) -> Iterator[str]:
    name = f"{obj['kind']} {obj['metadata']['name']}"
    if "deletionTimestamp" in obj["metadata"]:
        yield f"{name} is still being deleted"
        return
    yield from (f"{name}: {words}" for words in _against_the_plan(snapshot, obj))
    yield from (f"{name}: {words}" for words in _of_status(obj))
    if obj["metadata"]["name"] == FOREIGN:
        yield from (f"{name}: {words}" for words in _of_foreign(snapshot))
    else:
        yield from (f"{name}: {words}" for words in _of_child(snapshot, obj))


def _against_the_plan(snapshot: Snapshot, obj: dict[str, Any]) -> Iterator[str]:
    """Compare with the product's own plan and status."""
    resource = parse(KIND_BY_NAME[obj["kind"]], obj)
    observed = asyncio.run(observe(snapshot, resource))
    planned = plan(resource, observed)
    live = observed.deployment
    if planned.deployment is not None:
        difference = "it does not exist" if live is None else first_difference(planned.deployment, live)
        if difference is not None:
            yield f"the Deployment is not the planned one: {difference}"
    ours = None if planned.conflict is not None else live
    pods = asyncio.run(observe_pods(snapshot, resource, ours))
    wanted = status(resource, planned, Outcome(ours, datetime.now(UTC), pods))
    present = _without_times(obj.get("status", {}))
    for field in sorted(wanted.keys() | present.keys()):
        if wanted.get(field) != present.get(field):
            yield f"status.{field} is {present.get(field)!r} and should be {wanted.get(field)!r}"


def _without_times(present: dict[str, Any]) -> dict[str, Any]:
    conditions = [
        {key: value for key, value in condition.items() if key != "lastTransitionTime"}
        for condition in present.get("conditions", [])
    ]
    return {**present, "conditions": conditions}


def _of_status(obj: dict[str, Any]) -> Iterator[str]:
    """Facts about a status that hold whatever the operator thinks."""
    present, generation = obj.get("status", {}), obj["metadata"]["generation"]
    if present.get("observedGeneration") != generation:
        yield f"observedGeneration is {present.get('observedGeneration')}, the generation {generation}"
    types = Counter(condition["type"] for condition in present.get("conditions", []))
    if set(types) < set(TYPES[:1]) or any(number > 1 for number in types.values()):
        yield f"the conditions are {sorted(types.elements())}"
    ready = next((item for item in present.get("conditions", []) if item["type"] == "Ready"), {})
    running = _wanted_replicas(obj) > 0
    if running and ready.get("status") == "True":
        yield "it says that it is ready, and no worker can run here"


def _of_child(snapshot: Snapshot, obj: dict[str, Any]) -> Iterator[str]:
    """Facts about the one Deployment that a resource must have."""
    metadata, spec = obj["metadata"], obj["spec"]
    owned = [item for item in snapshot.objects["Deployment"] if _owner(item).get("uid") == metadata["uid"]]
    names = [item["metadata"]["name"] for item in owned]
    if names != [metadata["name"] + SUFFIXES[obj["kind"]]]:
        yield f"its Deployments are {names}"
        return
    deployment = owned[0]["spec"]
    container = deployment["template"]["spec"]["containers"][0]
    if deployment["replicas"] != _wanted_replicas(obj):
        yield f"{deployment['replicas']} replicas instead of {_wanted_replicas(obj)}"
    if container["image"] != (image := _wanted_image(snapshot, obj)):
        yield f"the image is {container['image']} instead of {image}"
    command = " ".join([*container.get("command", []), *container.get("args", [])])
    for argument in (spec.get("callback"), spec.get("destination"), spec.get("queue")):
        if argument is not None and argument not in command:
            yield f"{argument} is not in its workers' command line {command!r}"
    referred = [item["secretRef"]["name"] for item in spec.get("envFrom", []) if "secretRef" in item]
    marks = (deployment["template"]["metadata"].get("annotations") or {}).get("djangooutbox.io/config", "")
    if not all(f"Secret/{secret}=" in marks for secret in referred):
        yield f"its workers are not marked with the content of {referred}: {marks!r}"


def _wanted_replicas(obj: dict[str, Any]) -> int:
    wanted: int = obj["spec"].get("replicas", 1)
    return 0 if obj["spec"].get("state") == "Suspended" else wanted


def _wanted_image(snapshot: Snapshot, obj: dict[str, Any]) -> str | None:
    reference = obj["spec"].get("workloadRef")
    if reference is None:
        image: str | None = obj["spec"].get("image")
        return image
    workload = snapshot.named("Deployment", reference["name"]) or {}
    return next((item["image"] for item in workload["spec"]["template"]["spec"]["containers"]), None)


def _of_foreign(snapshot: Snapshot) -> Iterator[str]:
    found = snapshot.named("Deployment", FOREIGN + SUFFIXES["Publisher"])
    if found is None or found["metadata"]["generation"] != 1 or _owner(found):
        yield "somebody else's Deployment has been touched"


def _of_the_whole(snapshot: Snapshot) -> Iterator[str]:
    """Look for what no resource wants: orphans, children of children that are gone, two Deployments for one thing."""
    living = {obj["metadata"]["uid"] for kind in snapshot.objects.values() for obj in kind}
    for kind, objects in snapshot.objects.items():
        for obj in objects:
            owner = _owner(obj)
            ours = (obj["metadata"].get("labels") or {}).get(MANAGED[0]) == MANAGED[1]
            if owner and owner["uid"] not in living:
                yield f"{kind} {obj['metadata']['name']} is left over: its owner is gone"
            elif ours and not owner and kind != "Pod":
                yield f"{kind} {obj['metadata']['name']} is an orphan"
    selectors = Counter(
        str(sorted(item["spec"]["selector"]["matchLabels"].items())) for item in snapshot.objects["Deployment"]
    )
    yield from (f"{number} Deployments select {selector}" for selector, number in selectors.items() if number > 1)


def _owner(obj: dict[str, Any]) -> dict[str, Any]:
    owners = obj["metadata"].get("ownerReferences") or []
    found: dict[str, Any] = next((owner for owner in owners if owner.get("controller")), {})
    return found
