"""Annotations that are read: the user's on our resources, and one of Kubernetes' on Deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outbox_operator.api.resource import GROUP

if TYPE_CHECKING:
    from collections.abc import Mapping

RECONCILE: Final = f"{GROUP}/reconcile"
"""`Paused` on a Publisher or Subscription: nothing but its status is written."""
QUEUE_SHARED: Final = f"{GROUP}/shared-queue"
"""`Allowed` on a Subscription: another one with the same queue and another callback is no mistake."""
REVISION: Final = "deployment.kubernetes.io/revision"
"""On Deployments: the number of the present revision."""


def marks_of(obj: Mapping[str, Any]) -> dict[str, str]:
    """Return those annotations of an object; a change of them is news, although it makes no new generation."""
    annotations = obj["metadata"].get("annotations") or {}
    return {name: annotations[name] for name in (RECONCILE, QUEUE_SHARED, REVISION) if name in annotations}


def is_paused(obj: Mapping[str, Any]) -> bool:
    """Tell whether a resource is not to be reconciled."""
    return marks_of(obj).get(RECONCILE) == "Paused"
