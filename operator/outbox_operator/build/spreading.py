"""Where a resource's workers run in relation to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outbox_operator.build.labels import selector_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource

_KEYS: Final = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
_WHOLE_CLUSTER: Final = "kubernetes.io/os"
"""A label that every kubelet gives its node, with one value on all nodes that can run a worker."""


def spread_constraints(resource: Resource) -> list[dict[str, Any]]:
    """Spread the workers of one revision over zones and nodes as far as there are some; a wish, never a condition."""
    if resource.ordered or resource.worker.topology_spread == "Disabled":
        return []
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector_labels(resource.key)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in _KEYS
    ]


def alone(resource: Resource, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod's spec that the scheduler starts only when no other worker of the resource is left in the cluster.

    The strategy Recreate is not enough: a pod that is deleted or evicted is replaced while it still finishes its work.
    The scheduler counts a pod until it is gone, and on a node that is lost as long as nobody says that it is.
    """
    term = {"labelSelector": {"matchLabels": selector_labels(resource.key)}, "topologyKey": _WHOLE_CLUSTER}
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    affinity = spec.get("affinity") or {}
    anti = affinity.get("podAntiAffinity") or {}
    return {**spec, "affinity": {**affinity, "podAntiAffinity": {**anti, field: [*(anti.get(field) or []), term]}}}
