"""Whether the operator may do what its code calls, asked of the API server one right at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from outbox_operator.doctor.findings import Finding
from outbox_operator.rights import LEASE_RIGHTS, RIGHTS, Right

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox_operator.kube import Api
    from outbox_operator.settings import Settings

_PATH: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
_AT_ONCE: Final = 8


async def check_rights(api: Api, settings: Settings, groups: frozenset[str]) -> list[Finding]:
    """Return a finding for each place where rights are needed; `groups` are the API groups that are served."""
    needed = [right for right in RIGHTS if not right.optional_api or right.group in groups]
    places: Sequence[str | None] = settings.watch_namespaces or (None,)
    findings = [await _check(api, needed, place, settings) for place in places]
    if settings.leader_election:
        findings.append(await _check(api, LEASE_RIGHTS, settings.namespace, settings))
    return findings


async def _check(api: Api, rights: Sequence[Right], namespace: str | None, settings: Settings) -> Finding:
    where = "the whole cluster" if namespace is None else f"namespace {namespace}"
    lease = rights is LEASE_RIGHTS
    check = "rights on the Lease" if lease else f"rights in {where}"
    gate = asyncio.Semaphore(_AT_ONCE)
    asked = [(right, verb) for right in rights for verb in right.verbs]

    async def denied(right: Right, verb: str) -> bool:
        async with gate:
            return not await is_allowed(api, right, verb, namespace, settings.lease_name if right.named else "")

    answers = await asyncio.gather(*(denied(right, verb) for right, verb in asked))
    missing = [pair for pair, is_denied in zip(asked, answers, strict=True) if is_denied]
    if not missing:
        return Finding(check, "ok", f"all {len(asked)} are granted")
    listed = ", ".join(f"{verb} {_type(right)}" for right, verb in missing)
    purposes = "; ".join(dict.fromkeys(right.purpose for right, _ in missing))
    return Finding(
        check,
        "failure",
        f"{len(missing)} of {len(asked)} are missing: {listed}",
        f"Without them the operator cannot {purposes}. Install the chart with rbac.create=true, and list the namespace "
        "in watchNamespaces, or grant them to the ServiceAccount yourself.",
    )


async def is_allowed(api: Api, right: Right, verb: str, namespace: str | None, name: str) -> bool:
    """Ask the API server whether we have a right; `namespace` None: in all of them."""
    resource, _, subresource = right.resource.partition("/")
    attributes = {"group": right.group, "resource": resource, "subresource": subresource, "verb": verb, "name": name}
    if namespace is not None:
        attributes["namespace"] = namespace
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = await api.ask("POST", _PATH, body)
    return bool((answer.obj or {}).get("status", {}).get("allowed"))


def _type(right: Right) -> str:
    return f"{right.resource}.{right.group}" if right.group else right.resource
