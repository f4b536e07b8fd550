"""What exists, as lists, watches and our own writes have shown it. `handlers` and `resync` write, `reading` reads.

Of our resources and of Deployments that carry our mark the content is kept, in a packed form: a thousand of them as
dicts would fill the memory of the process. Of all other Deployments it is known that they are there.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from outbox_operator.build.labels import MANAGED_BY
from outbox_operator.build.names import FIELD_MANAGER
from outbox_operator.kube.types import DEPLOYMENTS
from outbox_operator.ownership import controller_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outbox_operator.api.resource import Object

_DELETIONS: Final = 1000
"""How many of the last deletions are remembered, so that an answer that comes late brings nothing back to life."""


class Place(NamedTuple):
    """Where an object is."""

    resource: str
    """Plural of the resource type."""
    namespace: str
    name: str


class Snapshot(NamedTuple):
    """An object at one moment."""

    place: Place
    version: int
    """Its resourceVersion, which only grows; 0 when that is no number."""
    packed: bytes | None
    """Its content; None when only its existence counts."""


def place_of(resource: str, obj: Mapping[str, Any]) -> Place:
    """Return where an object is."""
    return Place(resource, obj["metadata"]["namespace"], obj["metadata"]["name"])


def snapshot(resource: str, obj: Mapping[str, Any]) -> Snapshot:
    """Return what is to be kept of an object."""
    if resource == DEPLOYMENTS.plural and not _is_marked(obj):
        return mention(resource, obj)
    packed = marshal.dumps({**obj, "metadata": _slim(obj["metadata"])})
    return Snapshot(place_of(resource, obj), _version(obj), packed)


def mention(resource: str, obj: Mapping[str, Any]) -> Snapshot:
    """Return that an object is there."""
    return Snapshot(place_of(resource, obj), _version(obj), None)


def _version(obj: Mapping[str, Any]) -> int:
    version = str(obj["metadata"].get("resourceVersion", ""))
    return int(version) if version.isdecimal() else 0


def unpacked(kept: Snapshot) -> Object | None:
    """Return the content of a snapshot, None if that was not kept."""
    if kept.packed is None:
        return None
    found: Object = marshal.loads(kept.packed)  # noqa: S302 - packed by this very process
    return found


class Mirror:
    """Objects by their place. Used on the main event loop only."""

    def __init__(self) -> None:
        self._kept: dict[Place, Snapshot] = {}
        self._deleted: dict[Place, int] = {}
        self.complete = False
        """Whether everything that exists has been listed once: what is not here then does not exist."""

    def note(self, new: Snapshot) -> bool:
        """Keep an object; tell whether it is newer than what was known."""
        known = self._kept.get(new.place)
        if known is not None and known.version >= new.version > 0:
            return False
        if self._deleted.get(new.place, -1) >= new.version:
            return False
        self._kept[new.place] = new
        return True

    def drop(self, place: Place, version: int | None = None) -> None:
        """Note that an object is gone, if the version of its deletion is known as of that."""
        known = self._kept.get(place)
        if known is None or version is None or known.version <= version:
            self._kept.pop(place, None)
        if version is not None:
            self._deleted.pop(place, None)
            self._deleted[place] = version
            if len(self._deleted) > _DELETIONS:
                del self._deleted[next(iter(self._deleted))]

    def get(self, place: Place) -> Object | None:
        """Return a copy of an object whose content is kept, or None."""
        known = self._kept.get(place)
        return None if known is None else unpacked(known)

    def is_behind(self, resource: str, obj: Mapping[str, Any]) -> bool:
        """Tell whether an object is known in an older state than this one, or not at all."""
        known = self._kept.get(place_of(resource, obj))
        return _version(obj) > (0 if known is None else known.version)

    def lacks(self, place: Place) -> bool:
        """Tell whether an object certainly did not exist when everything was looked at last."""
        return self.complete and place not in self._kept


def _is_marked(deployment: Mapping[str, Any]) -> bool:
    labels = deployment["metadata"].get("labels") or {}
    owner = controller_of(deployment)
    return labels.get(MANAGED_BY) == FIELD_MANAGER or (owner is not None and "djangooutbox.io" in owner["apiVersion"])


def _slim(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata without what is recorded of the fields of others; it is half of many an object."""
    entries: Iterable[Mapping[str, Any]] = metadata.get("managedFields") or ()
    ours = [_slim_entry(entry) for entry in entries if entry.get("manager") == FIELD_MANAGER]
    kept = {name: value for name, value in metadata.items() if name != "managedFields"}
    return {**kept, "managedFields": ours} if ours else kept


def _slim_entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Keep of a record of our fields what `scaling` asks for: whether `replicas` is among them."""
    spec = entry.get("fieldsV1", {}).get("f:spec", {})
    fields: dict[str, Any] = {"f:spec": {"f:replicas": {}} if "f:replicas" in spec else {}}
    return {**{name: entry[name] for name in entry if name != "fieldsV1"}, "fieldsV1": fields}
