"""Our PodDisruptionBudgets as lists, reads and our own writes have shown them: no watch delivers them.

`resync` compares them with a list of metadata at each full look, so that one that somebody has edited or deleted is
found without reading it. Their status, which changes with each pod, counts for nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outbox_operator.build.child import POD_DISRUPTION_BUDGET
from outbox_operator.kube import type_of_child
from outbox_operator.mirror import Place, Snapshot, place_of, snapshot, unpacked
from outbox_operator.ownership import owner_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outbox_operator.api.resource import Key, Object

BUDGETS: Final = type_of_child(POD_DISRUPTION_BUDGET)
_FACE: Final = ("uid", "generation", "labels", "annotations", "ownerReferences", "deletionTimestamp")
"""What metadata tells of an object's state; the generation stands for its spec."""


class Budgets:
    """The PodDisruptionBudgets that belong to a resource, by their place."""

    def __init__(self) -> None:
        self._kept: dict[Place, Snapshot] = {}

    def note(self, obj: Object) -> None:
        """Keep one, or forget it if it is no longer ours."""
        if owner_key(obj) is None:
            self.drop(place_of(BUDGETS.plural, obj))
        else:
            found = snapshot(BUDGETS.plural, obj)
            self._kept[found.place] = found

    def drop(self, place: Place) -> None:
        """Note that one is gone."""
        self._kept.pop(place, None)

    def get(self, place: Place) -> Object | None:
        """Return a copy of one, None if nothing is known of it."""
        known = self._kept.get(place)
        return None if known is None else unpacked(known)

    def concerned(self, listed: Iterable[Mapping[str, Any]]) -> set[Key]:
        """Return the resources whose budget is not in a list of metadata as it is known, or not there at all."""
        unseen, found = dict(self._kept), set()
        for obj in listed:
            known = unseen.pop(place_of(BUDGETS.plural, obj), None)
            kept = None if known is None else unpacked(known)
            if kept is None or _face(kept) != _face(obj):
                found |= {owner_key(obj), None if kept is None else owner_key(kept)}
        found |= {owner_key(kept) for kept in map(unpacked, unseen.values()) if kept is not None}
        return {key for key in found if key is not None}


def _face(obj: Mapping[str, Any]) -> dict[str, Any]:
    return {name: obj["metadata"].get(name) for name in _FACE}
