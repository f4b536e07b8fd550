"""What a worker inherits from the Deployment that `workloadRef` names. `pod_template` starts from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from outbox_operator.api.conditions import WORKLOAD_NOT_FOUND, WORKLOAD_REFUSED, Problem
from outbox_operator.api.marks import REVISION
from outbox_operator.api.resource import GROUP
from outbox_operator.build.labels import SELECTOR_LABELS
from outbox_operator.build.names import deployment_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource

DEFAULT_CONTAINER_ANNOTATION: Final = "kubectl.kubernetes.io/default-container"

# A worker needs no privileges, so those of the application (privileged, capabilities, escalation) are not inherited.
_POD_SECURITY: Final = (
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "fsGroup",
    "fsGroupChangePolicy",
    "supplementalGroups",
    "seLinuxOptions",
    "seccompProfile",
)
_CONTAINER_SECURITY: Final = (
    "runAsUser",
    "runAsGroup",
    "runAsNonRoot",
    "readOnlyRootFilesystem",
    "seLinuxOptions",
    "seccompProfile",
)


@dataclass(frozen=True)
class Followed:
    """The parts of the application's pod that its workers share. Empty when nothing is followed."""

    container: Mapping[str, Any] = field(default_factory=dict)
    pod: Mapping[str, Any] = field(default_factory=dict)


NOTHING: Final = Followed()


def follow(resource: Resource, workload: Mapping[str, Any] | None) -> Followed | Problem:
    """Take from the followed Deployment what workers inherit, or say why that cannot be done."""
    reference = resource.worker.workload_ref
    if reference is None:
        return NOTHING
    if reference.name == deployment_name(resource.key):
        return Problem(
            WORKLOAD_REFUSED,
            f"workloadRef names Deployment {reference.name}, the one that this {resource.key.kind.name} itself makes. "
            "Name the Deployment of the application, or set image.",
        )
    if workload is None:
        return _missing(resource, reference.name)
    template = workload["spec"]["template"]
    if _runs_workers(workload):
        return Problem(
            WORKLOAD_REFUSED,
            f"workloadRef names Deployment {reference.name}, which itself runs outbox workers. Name the Deployment of "
            "the application, or set image.",
        )
    container = _container(template, reference.container)
    if container is None:
        names = ", ".join(item["name"] for item in template["spec"]["containers"])
        return Problem(
            WORKLOAD_NOT_FOUND,
            f"Deployment {reference.name} has no container {reference.container}; it has {names}. Correct "
            "workloadRef.container.",
        )
    return Followed(_container_parts(container), _pod_parts(template["spec"], container))


def _runs_workers(workload: Mapping[str, Any]) -> bool:
    """Tell whether a Deployment is one of ours: following it could go round in a circle."""
    owners = workload["metadata"].get("ownerReferences") or ()
    labels = workload["spec"]["template"]["metadata"].get("labels") or {}
    return any(str(owner.get("apiVersion", "")).startswith(f"{GROUP}/") for owner in owners) or any(
        label in labels for label in SELECTOR_LABELS
    )


def followed_revision(resource: Resource, workload: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """Return name and revision of the Deployment that is followed; the revision is empty until it has one."""
    if resource.worker.workload_ref is None or workload is None:
        return None
    annotations = workload["metadata"].get("annotations") or {}
    return workload["metadata"]["name"], str(annotations.get(REVISION, ""))


def _missing(resource: Resource, name: str) -> Problem:
    return Problem(
        WORKLOAD_NOT_FOUND,
        f"Deployment {name} does not exist in namespace {resource.key.namespace}. Create it or correct "
        "workloadRef.name; it is picked up as soon as it exists.",
    )


def _container(template: Mapping[str, Any], name: str | None) -> Mapping[str, Any] | None:
    containers: list[Mapping[str, Any]] = template["spec"]["containers"]
    wanted = name or (template["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER_ANNOTATION)
    for container in containers:
        if container["name"] == wanted:
            return container
    # An annotation that points nowhere is no reason to stop; a name that the user wrote is.
    return None if name else containers[0]


def _container_parts(container: Mapping[str, Any]) -> dict[str, Any]:
    names = ("image", "imagePullPolicy", "env", "envFrom", "volumeMounts", "workingDir")
    parts = {name: container[name] for name in names if container.get(name)}
    security = _pick(container.get("securityContext"), _CONTAINER_SECURITY)
    return {**parts, "securityContext": security} if security else parts


def _pod_parts(spec: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    names = ("serviceAccountName", "imagePullSecrets", "enableServiceLinks")
    parts = {name: spec[name] for name in names if spec.get(name) is not None}
    if "serviceAccountName" in parts and "automountServiceAccountToken" in spec:
        parts["automountServiceAccountToken"] = spec["automountServiceAccountToken"]
    mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
    volumes = [volume for volume in spec.get("volumes", ()) if volume["name"] in mounted]
    if volumes:
        parts["volumes"] = volumes
    security = _pick(spec.get("securityContext"), _POD_SECURITY)
    return {**parts, "securityContext": security} if security else parts


def _pick(source: Mapping[str, Any] | None, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: source[name] for name in names if name in source} if source else {}
