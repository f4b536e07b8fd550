"""Plan against a cluster: the operator's own steps, with every write turned into a dry run.

Whoever may not read Secrets gets a plan all the same: what cannot be read counts as unchanged, and the plan says so.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME, KINDS, Key
from outbox_operator.apply import Applied, apply_plan
from outbox_operator.build.child import KEDA_KINDS
from outbox_operator.build.names import FIELD_MANAGER, deployment_name
from outbox_operator.consumers import Consumers
from outbox_operator.deliveries import key_of
from outbox_operator.errors import DeniedError, UnknownKindError
from outbox_operator.kube import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    SECRETS,
    Api,
    Type,
    type_of,
    type_of_child,
    type_of_config,
)
from outbox_operator.observe import observe
from outbox_operator.plan import Observed, Plan, plan
from outbox_operator.preview.offline import assumed, namespace_of, ours
from outbox_operator.preview.outlook import Change, Outlook
from outbox_operator.schema.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kubernetes.aio.client.api_client import ApiClient

    from outbox_operator.api.resource import Object, Resource
    from outbox_operator.build.references import ConfigName
    from outbox_operator.preview.documents import Document


_CONFIG: Final = (SECRETS, CONFIG_MAPS)
_KEDA: Final = tuple(map(type_of_child, KEDA_KINDS))
_UNREAD: Final[Mapping[str, Any]] = {"metadata": {"resourceVersion": ""}}
"""Stands for a Secret or ConfigMap that may not be read."""


class Rehearsal(Api):
    """The operator's requests, without an effect."""

    def __init__(self, client: ApiClient) -> None:
        super().__init__(client)
        self._handed_over: dict[tuple[str, str], int] = {}
        """Replicas of Deployments (namespace, name) that another manager would keep by now."""
        self.denied: dict[tuple[Type, str, str], str] = {}
        """The API server's words about what (type, namespace, name) may not be read."""

    async def get_of_known_kind(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object. What may not be read is noted; it counts as there and empty, or is of an unknown kind."""
        try:
            return await super().get_of_known_kind(type_, namespace, name)
        except DeniedError as error:
            if type_ not in (*_CONFIG, *_KEDA):
                raise
            self.denied[type_, namespace, name] = str(error)
            if type_ in _KEDA:
                raise UnknownKindError(str(error)) from error
            return dict(_UNREAD)

    async def apply(
        self,
        type_: Type,
        obj: Mapping[str, Any],
        *,
        dry_run: bool = True,  # noqa: ARG002
        manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> Object:
        """Apply by dry run. What was handed over just before is not in the cluster, so it is applied along."""
        place = obj["metadata"]["namespace"], obj["metadata"]["name"]
        if manager != FIELD_MANAGER:
            self._handed_over[place] = obj["spec"]["replicas"]
        elif type_ == DEPLOYMENTS and place in self._handed_over:
            obj = {**obj, "spec": {"replicas": self._handed_over[place], **obj["spec"]}}
        return await super().apply(type_, obj, dry_run=True, manager=manager, force=force)

    async def patch(self, type_: Type, obj: Mapping[str, Any], subresource: str | None = None) -> Object:  # noqa: ARG002
        """Change nothing."""
        return dict(obj)

    async def delete(self, type_: Type, obj: Mapping[str, Any]) -> None:
        """Delete nothing."""


async def plan_documents(
    api: Rehearsal, documents: Sequence[Document], namespace: str, *, host_access: bool
) -> list[Outlook]:
    """Return what applying the resources of the files would bring about."""
    found: list[Outlook] = []
    for document in ours(documents):
        kind = KIND_BY_NAME.get(document.obj["kind"])
        if kind is None:
            found.append(Outlook(document.obj["kind"], f"there is no kind {document.obj['kind']}"))
            continue
        key = Key(kind, namespace_of(document.obj, namespace), document.obj["metadata"]["name"])
        try:
            found.append(await _of_document(api, key, document, host_access=host_access))
        except DeniedError as error:
            found.append(Outlook(f"{key} ({document.source})", unknown=str(error)))
    return found


async def _of_document(api: Rehearsal, key: Key, document: Document, *, host_access: bool) -> Outlook:
    stored = await _rehearse(api, key, document.obj)
    if isinstance(stored, str):
        return Outlook(f"{key} ({document.source})", stored)
    consumers = await _consumers(api, key.namespace)
    consumers.update(key, stored)
    return await _outlook(api, key, stored, consumers, host_access=host_access)


async def plan_all(api: Rehearsal, namespace: str | None, *, host_access: bool) -> list[Outlook]:
    """Return what this version of the operator would do about the resources that are there."""
    listed = [(key_of(kind, obj), obj) for kind in KINDS for obj in await api.list(type_of(kind), namespace)]
    consumers = Consumers()
    found: list[Outlook] = []
    for key, obj in listed:
        consumers.update(key, obj)
    for key, obj in listed:
        try:
            found.append(await _outlook(api, key, obj, consumers, host_access=host_access))
        except DeniedError as error:
            found.append(Outlook(str(key), unknown=str(error)))
    return found


async def _consumers(api: Api, namespace: str) -> Consumers:
    found = Consumers()
    for kind in KINDS:
        for obj in await api.list(type_of(kind), namespace):
            found.update(key_of(kind, obj), obj)
    return found


async def _rehearse(api: Api, key: Key, obj: Object) -> Object | str:
    """Return the resource as the API server would store it, or its words of refusal."""
    path = type_of(key.kind).path(key.namespace)
    live = await api.get(type_of(key.kind), key.namespace, key.name)
    metadata = {**obj["metadata"], "namespace": key.namespace}
    verb, place = "POST", path
    if live is not None:
        metadata["resourceVersion"] = live["metadata"]["resourceVersion"]
        verb, place = "PUT", f"{path}/{quote(key.name)}"
    answer = await api.ask(verb, f"{place}?dryRun=All&fieldValidation=Strict", {**obj, "metadata": metadata})
    if answer.status < 300 and answer.obj is not None:
        return answer.obj
    words = str((answer.obj or {}).get("message", f"the API server answers {answer.status}"))
    if answer.status in (401, 403):
        raise DeniedError(words)
    return words


async def _outlook(api: Rehearsal, key: Key, obj: Object, consumers: Consumers, *, host_access: bool) -> Outlook:
    broken = validate(key.kind, obj, known_only=True)
    if broken:
        return Outlook(str(key), f"InvalidSpec: {'; '.join(map(str, broken))}")
    resource = parse(key.kind, obj)
    observed = await observe(api, resource, consumers.rival(key), host_access=host_access)
    unread = [name for name in observed.config if (type_of_config(name), key.namespace, name.name) in api.denied]
    if unread:
        resource, observed = _taking_as_unchanged(resource, observed, unread)
    planned = plan(resource, observed)
    applied = await apply_plan(api, planned, observed.deployment)
    blocker = planned.blocker or applied.refused
    objects = tuple(item for item in (planned.deployment, *(c.wanted for c in planned.children)) if item is not None)
    workers = int(((observed.deployment or {}).get("status") or {}).get("replicas", 0))
    return Outlook(
        str(key),
        f"{blocker.reason}: {blocker.message}" if blocker else None,
        objects if blocker is None else (),
        tuple(_changes(deployment_name(key), planned, applied)),
        applied.roll if workers else None,
        warnings=tuple(_warnings(api, key, unread)),
    )


def _warnings(api: Rehearsal, key: Key, unread: Sequence[ConfigName]) -> Iterator[str]:
    for name in unread:
        yield f"{name} counts as unchanged: {api.denied[type_of_config(name), key.namespace, name.name]}"
    for type_ in _KEDA:
        words = api.denied.get((type_, key.namespace, deployment_name(key)))
        if words is not None:
            yield f"{type_.plural} of KEDA count as not installed: {words}"


def _taking_as_unchanged(
    resource: Resource, observed: Observed, unread: Sequence[ConfigName]
) -> tuple[Resource, Observed]:
    """Return both as if what may not be read had the keys that are needed, and as if no content rolled workers."""
    supposed = assumed(resource, observed.workload)
    config = {**observed.config, **{name: supposed.get(name, {}) for name in unread}}
    worker = replace(resource.worker, restart_policy="Never")
    return replace(resource, worker=worker), replace(observed, config=config)


def _changes(name: str, planned: Plan, applied: Applied) -> list[Change]:
    found: list[Change] = []
    if planned.deployment is not None and applied.refused is None:
        why = applied.roll or applied.drift or ""
        action = "create" if applied.created else "change" if applied.changed else "keep"
        found.append(Change("Deployment", name, action, why if action == "change" else ""))  # type: ignore[arg-type]
    elif planned.scale_to is not None:
        found.append(Change("Deployment", name, "change", f"replicas become {planned.scale_to}"))
    for child in applied.children:
        action = "remove" if child.removed else "create" if child.created else "change" if child.changed else "keep"
        found.append(Change(child.kind.name, child.name, action, child.drift or ""))  # type: ignore[arg-type]
    return found
