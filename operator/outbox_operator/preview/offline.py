"""Plan from files alone. What only the cluster knows is left out: uids, and the content of Secrets and ConfigMaps."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import GROUP, KIND_BY_NAME, Key
from outbox_operator.build.names import CONFIG_ANNOTATION, SPEC_HASH_ANNOTATION
from outbox_operator.children import CHILD_KINDS, Present
from outbox_operator.consumers import Consumers
from outbox_operator.plan import Observed, draft, plan
from outbox_operator.preview.outlook import Outlook
from outbox_operator.schema.crds import openapi_schema
from outbox_operator.schema.defaults import with_defaults
from outbox_operator.schema.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from outbox_operator.api.resource import Kind, Object, Resource
    from outbox_operator.build.references import ConfigName
    from outbox_operator.preview.documents import Document


def ours(documents: Iterable[Document]) -> list[Document]:
    """Return the Publishers and Subscriptions."""
    return [item for item in documents if str(item.obj.get("apiVersion")).startswith(f"{GROUP}/")]


def namespace_of(obj: Mapping[str, Any], default: str) -> str:
    """Return the namespace an object goes to."""
    return str(obj["metadata"].get("namespace") or default)


def plan_offline(documents: Sequence[Document], namespace: str, *, host_access: bool = False) -> list[Outlook]:
    """Return what the operator would apply for each resource; other objects in the files serve as what they name."""
    workloads = {
        (namespace_of(item.obj, namespace), item.obj["metadata"]["name"]): item.obj
        for item in documents
        if item.obj["kind"] == "Deployment"
    }
    consumers = Consumers()
    found = ours(documents)
    for document in found:
        kind = KIND_BY_NAME.get(document.obj["kind"])
        if kind is not None:
            consumers.update(_key(kind, document.obj, namespace), document.obj)
    return [_outlook(document, namespace, workloads, consumers, host_access=host_access) for document in found]


def _key(kind: Kind, obj: Object, namespace: str) -> Key:
    return Key(kind, namespace_of(obj, namespace), obj["metadata"]["name"])


def _outlook(
    document: Document,
    namespace: str,
    workloads: Mapping[tuple[str, str], Object],
    consumers: Consumers,
    *,
    host_access: bool,
) -> Outlook:
    obj = document.obj
    kind = KIND_BY_NAME.get(obj["kind"])
    if kind is None:
        return Outlook(
            f"{obj['kind']} {obj['metadata']['name']} ({document.source})", f"there is no kind {obj['kind']}"
        )
    key = _key(kind, obj, namespace)
    subject = f"{key} ({document.source})"
    broken = validate(kind, obj)
    if broken:
        return Outlook(subject, "; ".join(map(str, broken)))
    filled = with_defaults(openapi_schema(kind), obj)
    filled["metadata"] = {**filled["metadata"], "namespace": key.namespace, "uid": "", "generation": 1}
    resource = parse(kind, filled)
    reference = resource.worker.workload_ref
    workload = workloads.get((key.namespace, reference.name)) if reference else None
    if reference and workload is None:
        problem = f"workloadRef names Deployment {reference.name}, which is in none of the files: add it with -f, or "
        return Outlook(subject, f"{problem}compare with the cluster by --cluster")
    observed = Observed(
        workload=workload,
        config=assumed(resource, workload),
        children={kind: Present() for kind in CHILD_KINDS},
        rival=consumers.rival(key),
        host_access=host_access,
    )
    planned = plan(resource, observed)
    blocker = planned.blocker
    wanted = [planned.deployment, *(child.wanted for child in planned.children)]
    objects = tuple(_without_cluster(item) for item in wanted if item is not None) if blocker is None else ()
    return Outlook(subject, f"{blocker.reason}: {blocker.message}" if blocker else None, objects)


def assumed(resource: Resource, workload: Object | None) -> dict[ConfigName, dict[str, Any]]:
    """Return every Secret and ConfigMap that is referred to, as if it existed with the keys that are needed."""
    found: dict[ConfigName, dict[str, Any]] = {}
    for reference in draft(resource, workload).references:
        keys = found.setdefault(reference.target, {})
        if reference.key is not None:
            keys[reference.key] = ""
    return found


def _without_cluster(obj: Object) -> Object:
    obj = copy.deepcopy(obj)
    obj["metadata"].pop("ownerReferences")
    obj["metadata"]["annotations"].pop(SPEC_HASH_ANNOTATION)
    template = obj["spec"].get("template", {"metadata": {}})
    for metadata in (obj["metadata"], template["metadata"]):
        annotations = metadata.get("annotations", {})
        annotations.pop(CONFIG_ANNOTATION, None)
        if not annotations:
            metadata.pop("annotations", None)
    return obj
