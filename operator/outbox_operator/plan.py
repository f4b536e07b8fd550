"""Decide what to do about one resource. Pure: the resource and what was observed in, a Plan out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from outbox_operator.api.conditions import (
    CONFIG_MAP_NOT_FOUND,
    HOST_ACCESS_REFUSED,
    QUEUE_CONFLICT,
    SECRET_NOT_FOUND,
    Problem,
)
from outbox_operator.build.child import SCALED_OBJECT
from outbox_operator.build.deployment import deployment
from outbox_operator.build.followed import follow, followed_revision
from outbox_operator.build.hashes import salted_digest
from outbox_operator.build.host_access import host_access
from outbox_operator.build.names import CONFIG_ANNOTATION
from outbox_operator.build.pod_template import pod_template, worker_container
from outbox_operator.build.references import ConfigName, Reference, references
from outbox_operator.children import Child, Present, plan_children
from outbox_operator.diff import parse_marks
from outbox_operator.ownership import deployment_conflict
from outbox_operator.scaling import replicas

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from outbox_operator.api.resource import Object, Resource
    from outbox_operator.build.child import ChildKind


@dataclass(frozen=True)
class Observed:
    """What the cluster holds for one resource; None and missing keys mean absence."""

    deployment: Object | None = None
    workload: Object | None = None
    """The Deployment of `workloadRef`."""
    config: Mapping[ConfigName, Mapping[str, Any] | None] = field(default_factory=dict)
    """Content (key to value) of the Secrets and ConfigMaps that the pod template refers to."""
    pods: tuple[Object, ...] = ()
    """The workers' pods; read only while the Deployment is not fully available."""
    children: Mapping[ChildKind, Present] = field(default_factory=dict)
    """What there is of each kind of child; a kind that is missing here has not been looked at and is left alone."""
    rival: str | None = None
    """The older Subscription that hands the same queue to another callback."""
    host_access: bool = False
    """Whether pod templates may reach the node."""
    versions: Mapping[ConfigName, str] = field(default_factory=dict)
    """Resource versions of the Secrets and ConfigMaps that exist."""


@dataclass(frozen=True)
class Plan:
    """What should be done and known about one resource."""

    deployment: Object | None
    """Deployment to apply; None leaves the present one as it is."""
    scale_to: int | None
    """Replicas to set on the present Deployment although nothing else of it may be touched."""
    desired_replicas: int
    image: str | None
    conflict: Problem | None = None
    """Why the Deployment's name cannot be used."""
    unresolved: Problem | None = None
    """What the resource refers to and does not exist."""
    children: tuple[Child, ...] = ()
    """What should become of the objects beside the Deployment."""
    followed: tuple[str, str] | None = None
    """Name and revision of the Deployment that is followed."""
    rejected: Problem | None = None
    """Why the resource, although everything it refers to exists, is not carried out."""
    paused: bool = False
    """Whether nothing may be written but the status."""
    versions: Mapping[ConfigName, str] = field(default_factory=dict)
    """Resource versions of the Secrets and ConfigMaps that the workers take something from."""
    unresolved_scaler: Problem | None = None
    """What KEDA needs to read the backlog and does not exist; the workers do without."""

    @property
    def blocker(self) -> Problem | None:
        """Why nothing may be rolled out for now."""
        return self.conflict or self.rejected or self.unresolved

    @property
    def held(self) -> bool:
        """Whether nothing may be rolled out for now."""
        return self.deployment is None


@dataclass(frozen=True)
class Draft:
    """The pod template of a resource before the content of its configuration is known, or why there is none."""

    template: Object | None
    references: tuple[Reference, ...] = ()
    problem: Problem | None = None


def draft(resource: Resource, workload: Object | None) -> Draft:
    """Build the pod template as far as that goes without reading Secrets and ConfigMaps; `observe` reads those next."""
    followed = follow(resource, workload)
    if isinstance(followed, Problem):
        return Draft(None, problem=followed)
    template = pod_template(resource, followed)
    return Draft(template, references(template))


def plan(resource: Resource, observed: Observed) -> Plan:
    """Decide what to do about a resource.

    While something that the resource refers to is missing, nothing is created or rolled: present workers are better
    than new ones that cannot start, and a Deployment made now would roll again once the Secret is there. Suspending
    and scaling still take effect, unless reconciling is paused.
    """
    wanted = _unpaused(resource, observed)
    return replace(wanted, deployment=None, scale_to=None, children=(), paused=True) if resource.paused else wanted


def _unpaused(resource: Resource, observed: Observed) -> Plan:
    drafted = draft(resource, observed.workload)
    conflict = deployment_conflict(resource, observed.deployment)
    unresolved = drafted.problem or missing_reference(resource, drafted.references, observed.config)
    live = None if conflict else observed.deployment
    number = replicas(resource, live, scaled=observed.children.get(SCALED_OBJECT, Present()).served)
    children = plan_children(resource, live, observed.children)
    credential = missing_credential(resource, observed)
    followed = None if drafted.problem else followed_revision(resource, observed.workload)
    template = drafted.template or (observed.deployment or {}).get("spec", {}).get("template")
    image = (worker_container(template) or {}).get("image") if template and not conflict else None
    rejected = _rejection(drafted, observed)
    held = Plan(
        None,
        _scale_to(live, number.written),
        number.desired,
        image,
        conflict,
        unresolved,
        # Without a Deployment of ours there is nothing for a child to be beside.
        () if conflict else children,
        followed,
        rejected,
        versions=observed.versions,
        unresolved_scaler=credential,
    )
    if held.blocker or drafted.template is None:
        return held
    marked = mark_config(resource, drafted, observed)
    return replace(held, deployment=deployment(resource, marked, number.written), scale_to=None)


def missing_credential(resource: Resource, observed: Observed) -> Problem | None:
    """Return the first Secret, or key of one, that KEDA would need and that does not exist."""
    autoscaling = resource.worker.autoscaling
    for item in autoscaling.secrets if autoscaling else ():
        content, namespace = observed.config.get(ConfigName("Secret", item.secret)), resource.key.namespace
        if content is None:
            missing = f"Secret {item.secret} does not exist in namespace {namespace}"
        elif item.key not in content:
            missing = f"Secret {item.secret} in namespace {namespace} has no key {item.key}"
        else:
            continue
        return Problem(SECRET_NOT_FOUND, f"{missing}; KEDA needs it to read the backlog (spec.autoscaling.source).")
    return None


def _rejection(drafted: Draft, observed: Observed) -> Problem | None:
    """Return why a resource that could be carried out is not."""
    reached = () if observed.host_access or drafted.template is None else tuple(host_access(drafted.template))
    if reached:
        return Problem(
            HOST_ACCESS_REFUSED,
            f"The pod template reaches the node: {', '.join(reached)}. Workers need no such access, and the operator "
            "does not lend its rights for it. Remove it, or allow it for all resources (hostAccess in the chart).",
        )
    if observed.rival is not None:
        return Problem(
            QUEUE_CONFLICT,
            f"Subscription {observed.rival} is older and hands messages of the same queue to another callback: each "
            "message would go to either of them. Give this one a queue of its own, or, if the queues belong to "
            "different brokers, set the annotation djangooutbox.io/shared-queue: Allowed.",
        )
    return None


def missing_reference(
    resource: Resource,
    needed: Iterable[Reference],
    config: Mapping[ConfigName, Mapping[str, Any] | None],
) -> Problem | None:
    """Return the first Secret, ConfigMap or key that is needed and missing, with the number of the others."""
    missing = [item for item in needed if not item.optional and _is_missing(item, config.get(item.target))]
    if not missing:
        return None
    first = missing[0]
    kind, name, namespace = first.target.kind, first.target.name, resource.key.namespace
    if config.get(first.target) is None:
        text = f"{kind} {name} does not exist in namespace {namespace}. Create it"
    else:
        text = f"{kind} {name} in namespace {namespace} has no key {first.key}. Add the key"
    others = f" {len(missing) - 1} more references are missing." if len(missing) > 1 else ""
    reason = SECRET_NOT_FOUND if kind == "Secret" else CONFIG_MAP_NOT_FOUND
    return Problem(reason, f"{text} or correct the reference; no worker is started or replaced until then.{others}")


def _is_missing(reference: Reference, content: Mapping[str, Any] | None) -> bool:
    return content is None or (reference.key is not None and reference.key not in content)


def mark_config(resource: Resource, drafted: Draft, observed: Observed) -> Object:
    """Return the pod template with a digest of each Secret and ConfigMap its environment is taken from."""
    template = drafted.template
    if template is None:
        raise ValueError("a draft without a template cannot be marked")
    if resource.worker.restart_policy == "Never":
        # Marks that are there stay, or switching the policy off would itself replace the workers.
        value = _live_marks(observed.deployment)
    else:
        value = ",".join(f"{name}={digest}" for name, digest in _marks(resource, drafted.references, observed.config))
    if not value:
        return template
    metadata = template["metadata"]
    annotations = {**metadata.get("annotations", {}), CONFIG_ANNOTATION: value}
    return {**template, "metadata": {**metadata, "annotations": annotations}}


def _marks(
    resource: Resource,
    needed: Iterable[Reference],
    config: Mapping[ConfigName, Mapping[str, Any] | None],
) -> Iterable[tuple[str, str]]:
    used: dict[ConfigName, set[str | None]] = {}
    for reference in needed:
        if reference.env and config.get(reference.target) is not None:
            used.setdefault(reference.target, set()).add(reference.key)
    for target in sorted(used):
        content = config[target] or {}
        keys = used[target]
        # envFrom takes all keys; otherwise a change of a key that no variable reads must not replace the workers.
        relevant = content if None in keys else {key: value for key, value in content.items() if key in keys}
        yield str(target), salted_digest(resource.uid, {str(key): value for key, value in relevant.items()})


def _live_marks(live: Object | None) -> str:
    annotations = (live or {}).get("spec", {}).get("template", {}).get("metadata", {}).get("annotations") or {}
    value = annotations.get(CONFIG_ANNOTATION, "")
    return value if parse_marks(value) else ""


def _scale_to(live: Object | None, number: int | None) -> int | None:
    return number if live is not None and live["spec"].get("replicas") != number else None
