"""The cluster round the operator: version, clock, CRDs, APIs of others, and who holds the Lease."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from outbox_operator.api.resource import GROUP, KINDS, VERSION, Kind
from outbox_operator.doctor.findings import Finding
from outbox_operator.leader import LEASE_SECONDS
from outbox_operator.schema.crds import openapi_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox_operator.kube import Answer, Api
    from outbox_operator.settings import Settings

MINIMUM_VERSION: Final = (1, 31)
"""Oldest Kubernetes that the chart installs on."""
_SKEW_SECONDS: Final = 5.0
"""The Date header has whole seconds, and the answer takes its time."""
_OTHERS: Final = (
    ("keda.sh", "KEDA", "spec.autoscaling has no effect beyond minReplicas"),
    ("monitoring.coreos.com", "Prometheus Operator", "podMonitor and prometheusRule of the chart cannot be enabled"),
)
_SHOWN: Final = 3


def check_server(answer: Answer) -> Iterator[Finding]:
    """Look at the API server's version and clock; `answer` is that to /version."""
    version = str((answer.obj or {}).get("gitVersion", "unknown"))
    numbers = re.match(r"v(\d+)\.(\d+)", version)
    least = ".".join(map(str, MINIMUM_VERSION))
    if numbers is None or (int(numbers[1]), int(numbers[2])) < MINIMUM_VERSION:
        yield Finding("API server", "warning", f"version {version}", f"Kubernetes {least} or newer is tested.")
    else:
        yield Finding("API server", "ok", f"version {version}")
    skew = (datetime.now(UTC) - server_time(answer)).total_seconds()
    if abs(skew) > _SKEW_SECONDS:
        ahead = "ahead of" if skew > 0 else "behind"
        detail = f"this clock is {abs(skew):.0f} s {ahead} the API server's"
        yield Finding("clock", "warning", detail, "Times in conditions and Events are wrong by that; set the clocks.")
    else:
        yield Finding("clock", "ok", "as the API server's, to a few seconds")


def server_time(answer: Answer) -> datetime:
    """Return the API server's time; ours when it does not tell."""
    try:
        return parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return datetime.now(UTC)


async def served_groups(api: Api) -> frozenset[str]:
    """Return the API groups that the cluster serves."""
    answer = await api.ask("GET", "/apis")
    return frozenset(group["name"] for group in (answer.obj or {}).get("groups", ()))


async def check_crds(api: Api) -> list[Finding]:
    """Compare the CRDs of the cluster with those of this version."""
    answer = await api.ask("GET", f"/openapi/v3/apis/{GROUP}/{VERSION}")
    schemas = (answer.obj or {}).get("components", {}).get("schemas", {})
    return [_check_crd(kind, schemas) for kind in KINDS]


def _check_crd(kind: Kind, schemas: Mapping[str, Any]) -> Finding:
    name = f"{kind.plural}.{GROUP}"
    served = next((schema for schema in schemas.values() if _is_of(schema, kind)), None)
    if served is None:
        advice = "Install the chart with crds.enabled=true, or apply the files in crds/."
        return Finding(f"CRD {name}", "failure", f"{VERSION} is not served", advice)
    found = [*schema_differences(openapi_schema(kind), served)]
    if not found:
        return Finding(f"CRD {name}", "ok", f"{VERSION}, that of this version of the operator")
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return Finding(
        f"CRD {name}",
        "warning",
        f"not that of this version of the operator: {', '.join(found[:_SHOWN])}{more}",
        "Upgrade the CRDs with the operator: `helm upgrade` with crds.enabled=true, or apply the files in crds/.",
    )


def _is_of(schema: Mapping[str, Any], kind: Kind) -> bool:
    names = schema.get("x-kubernetes-group-version-kind", ())
    return any((item["group"], item["version"], item["kind"]) == (GROUP, VERSION, kind.name) for item in names)


def schema_differences(ours: Mapping[str, Any], served: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield in which fields two schemas differ; what the API server adds to every kind does not count."""
    mine, theirs = (schema.get("properties", {}) for schema in (ours, served))
    for name in dict.fromkeys((*mine, *theirs)):
        place = f"{path}.{name}" if path else name
        if place in ("apiVersion", "kind", "metadata"):
            continue
        if name not in theirs:
            yield f"{place} is missing"
        elif name not in mine:
            yield f"{place} is not known here"
        else:
            yield from schema_differences(mine[name], theirs[name], place)
    if path and _own_words(ours) != _own_words(served):
        yield f"{path} differs"
    for name in ("items", "additionalProperties"):
        first, second = ours.get(name), served.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from schema_differences(first, second, f"{path}[]")


def _own_words(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema says of its own node. Descriptions are for people and may be folded otherwise."""
    left_out = ("properties", "items", "additionalProperties", "description")
    return {name: value for name, value in schema.items() if name not in left_out}


def check_others(groups: frozenset[str]) -> Iterator[Finding]:
    """Tell which APIs of others are there."""
    for group, name, consequence in _OTHERS:
        if group in groups:
            yield Finding(name, "ok", f"{group} is served")
        else:
            yield Finding(name, "info", f"{group} is not served: {consequence}")


async def check_lease(api: Api, settings: Settings, now: datetime) -> Finding:
    """Tell who holds the Lease and whether it is alive; `now` is the API server's time."""
    place = f"{settings.namespace}/{settings.lease_name}"
    if not settings.leader_election:
        return Finding("Lease", "info", "leader election is off: only one replica may run")
    path = f"/apis/coordination.k8s.io/v1/namespaces/{settings.namespace}/leases/{settings.lease_name}"
    answer = await api.ask("GET", path)
    if answer.status == 404:
        return Finding("Lease", "warning", f"{place} does not exist", "No operator has worked here yet; start one.")
    if answer.obj is None or answer.status != 200:
        return Finding("Lease", "failure", f"{place} cannot be read ({answer.status})", "See the rights on the Lease.")
    return _lease_finding(place, answer.obj.get("spec") or {}, now)


def _lease_finding(place: str, spec: Mapping[str, Any], now: datetime) -> Finding:
    holder, renewed = spec.get("holderIdentity"), spec.get("renewTime")
    if not holder or not renewed:
        return Finding("Lease", "warning", f"{place} is held by nobody", "Start an operator; a stopped one gave it up.")
    age = (now - datetime.fromisoformat(renewed)).total_seconds()
    detail = f"{place} is held by {holder}, renewed {max(age, 0):.0f} s ago"
    if age > 2 * LEASE_SECONDS:
        return Finding("Lease", "failure", detail, "No operator works; see whether its pod runs, and its log.")
    return Finding("Lease", "ok", detail)
