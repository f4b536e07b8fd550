"""The Deployment of a resource, as it is applied server-side: only the fields that we decide."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from outbox_operator.api.resource import GROUP, VERSION, Resource
from outbox_operator.build.hashes import spec_digest
from outbox_operator.build.labels import object_labels, selector_labels
from outbox_operator.build.names import SPEC_HASH_ANNOTATION, deployment_name

if TYPE_CHECKING:
    from collections.abc import Mapping


def deployment(resource: Resource, template: Mapping[str, Any]) -> dict[str, Any]:
    """Build the Deployment around a pod template."""
    worker = resource.worker
    spec = {
        "replicas": desired_replicas(resource),
        "selector": {"matchLabels": selector_labels(resource.key)},
        "strategy": strategy(resource),
        "minReadySeconds": worker.min_ready_seconds,
        "progressDeadlineSeconds": worker.progress_deadline_seconds,
        "revisionHistoryLimit": worker.revision_history_limit,
        "template": copy.deepcopy(dict(template)),
    }
    obj: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": deployment_name(resource.key),
            "namespace": resource.key.namespace,
            "labels": object_labels(resource.key),
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": spec,
    }
    obj["metadata"]["annotations"] = {SPEC_HASH_ANNOTATION: spec_digest(obj)}
    return obj


def desired_replicas(resource: Resource) -> int:
    """Return how many workers should run."""
    return 0 if resource.worker.suspended else resource.worker.replicas


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


def owner_reference(resource: Resource) -> dict[str, Any]:
    """Return the reference that lets garbage collection take the Deployment along with its resource."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": resource.key.kind.name,
        "name": resource.key.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
