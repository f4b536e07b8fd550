"""The PodDisruptionBudget of a resource: how many workers a node drain may stop at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.build.child import POD_DISRUPTION_BUDGET, child
from outbox_operator.build.labels import selector_labels

if TYPE_CHECKING:
    from outbox_operator.api.resource import Resource


def disruption_budget(resource: Resource, workers: int) -> dict[str, Any] | None:
    """Build the budget for up to so many workers, or return None where none is wanted.

    A single worker gets none: its messages wait while it moves, and a budget could only hold up the drain.
    """
    budget = resource.worker.disruption_budget
    if budget.policy == "Disabled" or workers < 2:
        return None
    spec = {
        "selector": {"matchLabels": selector_labels(resource.key)},
        "maxUnavailable": budget.max_unavailable,
        # Workers that are broken anyway must not keep a node from being drained.
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    return child(resource, "policy/v1", POD_DISRUPTION_BUDGET.name, spec)
