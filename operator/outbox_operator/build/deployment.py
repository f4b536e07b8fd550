"""The Deployment of a resource, as it is applied server-side: only the fields that we decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.build.child import child
from outbox_operator.build.copies import copied
from outbox_operator.build.labels import selector_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource


def deployment(resource: Resource, template: Mapping[str, Any], replicas: int | None) -> dict[str, Any]:
    """Build the Deployment around a pod template; without `replicas` the number is left to others."""
    worker = resource.worker
    spec = {
        **({} if replicas is None else {"replicas": replicas}),
        "selector": {"matchLabels": selector_labels(resource.key)},
        "strategy": strategy(resource),
        "minReadySeconds": worker.min_ready_seconds,
        "progressDeadlineSeconds": worker.progress_deadline_seconds,
        "revisionHistoryLimit": worker.revision_history_limit,
        "template": copied(dict(template)),
    }
    return child(resource, "apps/v1", "Deployment", spec)


def strategy(resource: Resource) -> dict[str, Any]:
    """Return the strategy, with every field of it named.

    Naming maxSurge and maxUnavailable makes them ours, so that a later change to Recreate removes them; the defaults
    that the API server fills in would stay and be refused beside Recreate.
    """
    wanted = resource.worker.strategy or {"type": "Recreate" if resource.ordered else "RollingUpdate"}
    if wanted["type"] == "Recreate":
        return {"type": "Recreate"}
    rolling = {"maxSurge": 1, "maxUnavailable": 0, **wanted.get("rollingUpdate", {})}
    return {"type": "RollingUpdate", "rollingUpdate": rolling}
