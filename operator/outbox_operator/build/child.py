"""Kinds of objects that a resource owns beside its Deployment, and what the builders of all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from outbox_operator.api.resource import GROUP, VERSION, Resource
from outbox_operator.build.hashes import spec_digest
from outbox_operator.build.labels import object_labels
from outbox_operator.build.names import SPEC_HASH_ANNOTATION, deployment_name

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ChildKind:
    """A kind of child: one object of it for each resource, of the same name as the Deployment."""

    name: str
    group: str
    version: str
    plural: str

    @property
    def api_version(self) -> str:
        """Group and version, as an object names them."""
        return f"{self.group}/{self.version}"


POD_DISRUPTION_BUDGET: Final = ChildKind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets")
TRIGGER_AUTHENTICATION: Final = ChildKind("TriggerAuthentication", "keda.sh", "v1alpha1", "triggerauthentications")
SCALED_OBJECT: Final = ChildKind("ScaledObject", "keda.sh", "v1alpha1", "scaledobjects")
KEDA_KINDS: Final = (TRIGGER_AUTHENTICATION, SCALED_OBJECT)


def child(
    resource: Resource,
    api_version: str,
    kind: str,
    spec: Mapping[str, Any],
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Build a child around its spec: name, labels, owner, and the digest that tells drift from a new plan."""
    obj: dict[str, Any] = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": deployment_name(resource.key),
            "namespace": resource.key.namespace,
            "labels": object_labels(resource.key),
            "ownerReferences": [owner_reference(resource)],
        },
        "spec": dict(spec),
    }
    if annotations:
        obj["metadata"]["annotations"] = dict(annotations)
    obj["metadata"]["annotations"] = {**(annotations or {}), SPEC_HASH_ANNOTATION: spec_digest(obj)}
    return obj


def owner_reference(resource: Resource) -> dict[str, Any]:
    """Return the reference that lets garbage collection take a child along with its resource."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": resource.key.kind.name,
        "name": resource.key.name,
        "uid": resource.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
