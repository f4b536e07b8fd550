"""How many workers run, and who says so: the resource, or somebody who scales the Deployment. Pure; `plan` asks.

The operator writes `replicas` of a Deployment only where the resource names the number, and leaves it alone where KEDA,
a HorizontalPodAutoscaler or a person decides. `apply` sees to it that letting go of the field does not reset it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from outbox_operator.build.names import FIELD_MANAGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource


class Replicas(NamedTuple):
    """The number of workers of a resource."""

    written: int | None
    """What the operator sets; None leaves the number to others."""
    desired: int
    """How many workers there should be."""


def replicas(resource: Resource, live: Mapping[str, Any] | None, *, scaled: bool) -> Replicas:
    """Decide about the number of workers; `scaled` tells whether KEDA can do so where autoscaling is configured."""
    worker = resource.worker
    if worker.suspended:
        return Replicas(0, 0)
    if worker.autoscaling is None and worker.replicas is not None:
        return Replicas(worker.replicas, worker.replicas)
    start = worker.autoscaling.floor if worker.autoscaling else 1
    if live is None:
        # What nobody sets is 1. Not naming that saves having to let go of it.
        return Replicas(None if start == 1 else start, start)
    present: int = live["spec"].get("replicas", 1)
    if resource.ordered and present > 1:
        return Replicas(1, 1)
    least = _least(resource, live, scaled=scaled)
    return Replicas(least, least) if present < least else Replicas(None, present)


def _least(resource: Resource, live: Mapping[str, Any], *, scaled: bool) -> int:
    """Return the number that a Deployment left to others is brought to when fewer workers run."""
    autoscaling = resource.worker.autoscaling
    if autoscaling is not None and not scaled:
        return autoscaling.floor
    if not owns_replicas(live):
        return 0
    # The last number was ours: the 0 of a suspended resource that runs again must not stay.
    return 1 if autoscaling is None else autoscaling.min_replicas


def most_workers(resource: Resource, live: Mapping[str, Any] | None) -> int:
    """Return how many workers there may be at most, as far as anybody says."""
    worker = resource.worker
    if worker.autoscaling is not None:
        return worker.autoscaling.max_replicas
    if worker.replicas is not None:
        return worker.replicas
    return int(live["spec"].get("replicas", 1)) if live is not None else 1


def is_stuck(live: Mapping[str, Any] | None) -> bool:
    """Tell whether a roll of the Deployment has made no progress for too long."""
    conditions = (live or {}).get("status", {}).get("conditions", ())
    return any(
        item["type"] == "Progressing" and item.get("reason") == "ProgressDeadlineExceeded" for item in conditions
    )


def owns_replicas(live: Mapping[str, Any]) -> bool:
    """Tell whether the operator was the last to set `replicas` of a Deployment."""
    return any("f:replicas" in _spec_fields(entry) for entry in _entries(live))


def holds_replicas(live: Mapping[str, Any]) -> bool:
    """Tell whether applying a Deployment without `replicas` would take the field away, and so reset it to 1."""
    return any(entry.get("operation") == "Apply" and "f:replicas" in _spec_fields(entry) for entry in _entries(live))


def _entries(live: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = live["metadata"].get("managedFields") or []
    return [entry for entry in entries if entry.get("manager") == FIELD_MANAGER and not entry.get("subresource")]


def _spec_fields(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = entry.get("fieldsV1", {}).get("f:spec", {})
    return fields
