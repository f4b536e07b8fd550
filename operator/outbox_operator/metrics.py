"""Names, labels and meaning of the operator's metrics, in one place. `server` exposes them on /metrics."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from outbox_operator.api.resource import Key

REGISTRY: Final = CollectorRegistry()
_STATUSES: Final = ("True", "False", "Unknown")


def operator_version() -> str:
    """Return the version of the distribution, `unknown` when it is not installed."""
    try:
        return version("django-outbox-operator")
    except PackageNotFoundError:
        return "unknown"


BUILD_INFO: Final = Gauge("outbox_operator_build_info", "Version of the operator.", ["version"], registry=REGISTRY)
BUILD_INFO.labels(operator_version()).set(1)
LEADER: Final = Gauge("outbox_operator_leader", "1 while this replica is the one that works.", registry=REGISTRY)
RESOURCES: Final = Gauge(
    "outbox_operator_resources", "Publishers and Subscriptions that exist.", ["kind", "namespace"], registry=REGISTRY
)
CONDITION_NAME: Final = "outbox_operator_resource_condition"
CONDITION: Final = Gauge(
    CONDITION_NAME,
    "1 for the present status of each condition of each resource, 0 for the other statuses.",
    ["kind", "namespace", "name", "condition", "status"],
    registry=None,
)
RECONCILES: Final = Counter(
    "outbox_operator_reconciles_total",
    "Reconciliations by result: success (something was written), noop, requeue (not settled yet), error.",
    ["kind", "result"],
    registry=REGISTRY,
)
RECONCILE_SECONDS: Final = Histogram(
    "outbox_operator_reconcile_duration_seconds", "Duration of one reconciliation.", ["kind"], registry=REGISTRY
)
QUEUE_DEPTH: Final = Gauge(
    "outbox_operator_workqueue_depth", "Resources that wait to be reconciled now.", ["kind"], registry=REGISTRY
)
QUEUE_RETRIES: Final = Counter(
    "outbox_operator_workqueue_retries_total", "Reconciliations repeated after an error.", ["kind"], registry=REGISTRY
)
DRIFT_CORRECTIONS: Final = Counter(
    "outbox_operator_drift_corrections_total",
    "Children that somebody else had changed or deleted, put back.",
    ["kind", "child"],
    registry=REGISTRY,
)
MISSED_EVENTS: Final = Counter(
    "outbox_operator_missed_events_total",
    "Changes that a full look found and the watch had not delivered.",
    ["resource"],
    registry=REGISTRY,
)
WATCH_LAST_EVENT: Final = Gauge(
    "outbox_operator_watch_last_event_timestamp_seconds",
    "When a watch last delivered an event.",
    ["resource"],
    registry=REGISTRY,
)
EVENTS_DROPPED: Final = Counter(
    "outbox_operator_events_dropped_total",
    "Events that were not posted, because too many waited or the operator ended.",
    registry=REGISTRY,
)
API_REQUESTS: Final = Counter(
    "outbox_operator_api_requests_total",
    "Requests to the API server; code is none when there was no answer.",
    ["verb", "resource", "code"],
    registry=REGISTRY,
)

# The last one, so that the lines of `exposition` follow its heading.
REGISTRY.register(CONDITION)

_lines: Final[dict[Key, tuple[list[tuple[str, str]], bytes]]] = {}
"""Of each resource its conditions and the samples of CONDITION that show them.

These are fifteen samples a resource. As objects, a thousand resources would cost a fifth of a second each time that the
metrics are read; as text they are joined.
"""


def set_conditions(key: Key, conditions: list[dict[str, Any]]) -> None:
    """Show the conditions of a resource."""
    present = [(condition["type"], condition["status"]) for condition in conditions]
    shown = _lines.get(key)
    if shown is None or shown[0] != present:
        _lines[key] = present, "".join(_samples(key, present)).encode()


def forget_resource(key: Key) -> None:
    """Stop showing a resource that is gone."""
    _lines.pop(key, None)


def exposition() -> bytes:
    """Return all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY) + b"".join(lines for _, lines in _lines.values())


def _samples(key: Key, present: Iterable[tuple[str, str]]) -> Iterator[str]:
    # Names of objects and conditions hold nothing that would have to be escaped; the API server sees to that.
    of_resource = f'kind="{key.kind.name}",namespace="{key.namespace}",name="{key.name}"'
    for condition, current in present:
        for status in _STATUSES:
            labels = f'{of_resource},condition="{condition}",status="{status}"'
            yield f"{CONDITION_NAME}{{{labels}}} {1 if status == current else 0}\n"
