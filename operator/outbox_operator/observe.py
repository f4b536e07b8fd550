"""Read everything that deciding about one resource needs. `reconcile` calls it; nothing is written here."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from outbox_operator.api.parsing import parse
from outbox_operator.build.labels import selector
from outbox_operator.build.names import deployment_name
from outbox_operator.build.references import ConfigName
from outbox_operator.children import Present, kinds_to_look_at
from outbox_operator.errors import UnknownKindError
from outbox_operator.kube import DEPLOYMENTS, PODS, type_of, type_of_child, type_of_config
from outbox_operator.ownership import is_orphan
from outbox_operator.plan import Observed, draft
from outbox_operator.status import needs_pods, was_scaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from outbox_operator.api.resource import Key, Object, Resource
    from outbox_operator.build.child import ChildKind
    from outbox_operator.reading import Reader


async def get_resource_or_none(reader: Reader, key: Key) -> Object | None:
    """Return a resource, or None when it is gone or going: what is being deleted must not get new children."""
    obj = await reader.get(type_of(key.kind), key.namespace, key.name)
    return None if obj is None or obj["metadata"].get("deletionTimestamp") else obj


def parse_resource(key: Key, obj: Object) -> Resource:
    """Parse what `get_resource_or_none` gave."""
    return parse(key.kind, obj)


async def observe(
    reader: Reader,
    resource: Resource,
    rival: str | None = None,
    status: Object | None = None,
    *,
    host_access: bool = False,
    siblings: bool = True,
) -> Observed:
    """Read the Deployment, on wish its siblings, the followed workload, and what the pod template refers to."""
    namespace = resource.key.namespace
    live, workload = await asyncio.gather(
        reader.get(DEPLOYMENTS, namespace, deployment_name(resource.key)), _read_workload(reader, resource)
    )
    # One that was left behind may have been scaled for a predecessor, of which the status says nothing.
    scaled_before = was_scaled(resource, status) or (live is not None and is_orphan(resource, live))
    kinds = kinds_to_look_at(resource, scaled_before=scaled_before) if siblings else ()
    children = await _read_children(reader, resource.key, kinds)
    needed = {item.target for item in draft(resource, workload).references}
    autoscaling = resource.worker.autoscaling
    needed |= {ConfigName("Secret", item.secret) for item in (autoscaling.secrets if autoscaling else ())}
    config = await _read_config(reader, namespace, needed)
    contents = {name: _content(obj) for name, obj in config.items()}
    versions = {name: obj["metadata"]["resourceVersion"] for name, obj in config.items() if obj is not None}
    return Observed(
        live,
        workload,
        contents,
        children=children,
        rival=rival,
        host_access=host_access,
        versions=versions,
    )


async def observe_pods(reader: Reader, resource: Resource, deployment: Object | None) -> tuple[Object, ...]:
    """Return the workers' pods while their Deployment is not fully available, otherwise nothing."""
    if not needs_pods(deployment):
        return ()
    return tuple(await reader.list(PODS, resource.key.namespace, selector(resource.key)))


async def _read_workload(reader: Reader, resource: Resource) -> Object | None:
    reference = resource.worker.workload_ref
    return await reader.get(DEPLOYMENTS, resource.key.namespace, reference.name) if reference else None


async def _read_children(reader: Reader, key: Key, kinds: Sequence[ChildKind]) -> dict[ChildKind, Present]:
    found = await asyncio.gather(*(_read_child(reader, key, kind) for kind in kinds))
    return dict(zip(kinds, found, strict=True))


async def _read_child(reader: Reader, key: Key, kind: ChildKind) -> Present:
    try:
        return Present(await reader.get_of_known_kind(type_of_child(kind), key.namespace, deployment_name(key)))
    except UnknownKindError:
        return Present(served=False)


async def _read_config(reader: Reader, namespace: str, names: Iterable[ConfigName]) -> dict[ConfigName, Object | None]:
    ordered = sorted(names)
    found = await asyncio.gather(*(_read_one(reader, namespace, name) for name in ordered))
    return dict(zip(ordered, found, strict=True))


async def _read_one(reader: Reader, namespace: str, name: ConfigName) -> Object | None:
    return await reader.get(type_of_config(name), namespace, name.name)


def _content(obj: Object | None) -> Mapping[str, Any] | None:
    if obj is None:
        return None
    return {**(obj.get("data") or {}), **(obj.get("binaryData") or {})}
