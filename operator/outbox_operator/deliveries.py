"""What the watches have delivered, and who follows which workload. Written by `handlers`, compared by `resync`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox_operator import metrics
from outbox_operator.api.marks import marks_of
from outbox_operator.api.resource import Key, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.mirror import Snapshot


class WatchEvent(NamedTuple):
    """One event of a watch, reduced to what we need."""

    resource: str
    """Plural of the resource type."""
    deleted: bool
    obj: Mapping[str, Any]
    snapshot: Snapshot | None = None
    """The whole object, if it is kept."""


class Deliveries:
    """Generations of objects as the watches delivered them."""

    def __init__(self) -> None:
        self._generations: dict[str, dict[str, int]] = {}
        """By resource type, then by uid."""
        self._marks: dict[str, dict[str, dict[str, str]]] = {}
        """Annotations that count, likewise."""

    def note(self, event: WatchEvent) -> bool:
        """Remember an event; tell whether it brought a new object, generation or mark, or a deletion."""
        metrics.WATCH_LAST_EVENT.labels(event.resource).set(time.time())
        metadata = event.obj["metadata"]
        uid, marks = metadata["uid"], marks_of(event.obj)
        known = self._generations.setdefault(event.resource, {})
        marked = self._marks.setdefault(event.resource, {})
        if event.deleted:
            known.pop(uid, None)
            marked.pop(uid, None)
            return True
        news: bool = known.get(uid) != metadata["generation"] or marked.get(uid, {}) != marks
        known[uid] = metadata["generation"]
        if marks:
            marked[uid] = marks
        else:
            marked.pop(uid, None)
        return news

    def has(self, resource: str, obj: Mapping[str, Any]) -> bool:
        """Tell whether a watch has delivered this generation of an object or a later one."""
        metadata = obj["metadata"]
        return self._generations.get(resource, {}).get(metadata["uid"], 0) >= int(metadata["generation"])


class Followers:
    """Which resources follow which Deployment by `workloadRef`."""

    def __init__(self) -> None:
        self._target: dict[Key, str] = {}
        self._by_target: dict[tuple[str, str], set[Key]] = {}

    def update(self, key: Key, obj: Mapping[str, Any] | None) -> None:
        """Note whom a resource follows now; None: the resource is gone."""
        new = _followed(obj)
        old = self._target.get(key)
        if old == new:
            return
        if old is not None:
            del self._target[key]
            followers = self._by_target[key.namespace, old]
            followers.discard(key)
            if not followers:
                del self._by_target[key.namespace, old]
        if new is not None:
            self._target[key] = new
            self._by_target.setdefault((key.namespace, new), set()).add(key)

    def of(self, namespace: str, name: str) -> frozenset[Key]:
        """Return who follows a Deployment."""
        return frozenset(self._by_target.get((namespace, name), ()))


def _followed(obj: Mapping[str, Any] | None) -> str | None:
    """Return whom a resource follows. An object from an older schema may hold anything."""
    spec = (obj or {}).get("spec")
    reference = spec.get("workloadRef") if isinstance(spec, dict) else None
    name = reference.get("name") if isinstance(reference, dict) else None
    return name if isinstance(name, str) else None


def key_of(kind: Kind, obj: Mapping[str, Any]) -> Key:
    """Return the key of one of our resources."""
    return Key(kind, obj["metadata"]["namespace"], obj["metadata"]["name"])
