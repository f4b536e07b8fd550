"""Events on a resource, so that `kubectl describe` tells its story. Posted on transitions only.

Reasons of Events are for people; unlike the reasons of conditions they may change at any time.
"""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from outbox_operator.api import conditions as api_conditions
from outbox_operator.api.resource import GROUP, VERSION, Identity, Resource
from outbox_operator.build.names import FIELD_MANAGER, deployment_name
from outbox_operator.errors import KubeError
from outbox_operator.kube import EVENTS, Api
from outbox_operator.status import condition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox_operator.apply import Applied, AppliedChild

logger = logging.getLogger(__name__)

_MAX_MESSAGE = 1000
_QUIET = frozenset(
    {
        api_conditions.WORKERS_STARTING,
        api_conditions.TERMINATING_PREDECESSOR,
        api_conditions.PREVIOUS_WORKER_STOPPING,
        api_conditions.STATE_SUSPENDED,
        api_conditions.RECONCILIATION_PAUSED,
        api_conditions.SCALED_TO_ZERO,
    }
)
"""Reasons of Ready that are moments of normal work or told by another Event."""


_CAUSE_ENDS_WITH = {
    api_conditions.SECRET_NOT_FOUND: ".",
    api_conditions.CONFIG_MAP_NOT_FOUND: ".",
    api_conditions.WORKLOAD_NOT_FOUND: ".",
    api_conditions.PREFLIGHT_FAILED: " See `kubectl",
    api_conditions.MIGRATIONS_PENDING: " See `kubectl",
}
"""Reasons that may have another cause from one moment to the next, and what stands behind the cause in the message."""


class Event(NamedTuple):
    """One Event before it is posted."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


def of_status(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Iterator[Event]:
    """Return the Events for what has changed in the status."""
    yield from _of_suspended(before, after)
    yield from _of_ready(before, after)
    yield from _of_autoscaling(before, after)


def transitions(
    resource: Resource, applied: Applied, before: Mapping[str, Any] | None, after: Mapping[str, Any]
) -> Iterator[Event]:
    """Return the Events for what was done and for what has changed in the status."""
    name = deployment_name(resource.key)
    if applied.created:
        yield Event("Normal", "CreatedDeployment", f"Created Deployment {name}.")
    if applied.drift is not None:
        yield Event(
            "Normal", "RestoredDeployment", f"Deployment {name} had been changed and was put back: {applied.drift}."
        )
    if applied.roll is not None and applied.drift is None:
        yield Event("Normal", "RollingWorkers", f"{_capitalised(applied.roll)}; the workers are replaced.")
    for child in applied.children:
        yield from _of_child(child)
    yield from of_status(before, after)


async def post(api: Api, subject: Identity, event: Event, instance: str) -> None:
    """Post an Event. A failure is logged and forgotten: an Event must never hold up the work it tells of."""
    try:
        await api.create(EVENTS, _body(subject, event, instance))
    except KubeError as error:
        logger.warning("cannot post event %s for %s: %s", event.reason, subject.key, error)


def _of_child(child: AppliedChild) -> Iterator[Event]:
    kind, name = child.kind.name, child.name
    if child.created:
        yield Event("Normal", f"Created{kind}", f"Created {kind} {name}.")
    if child.removed:
        yield Event("Normal", f"Removed{kind}", f"Removed {kind} {name}, which is no longer wanted.")
    if child.drift is not None:
        yield Event("Normal", f"Restored{kind}", f"{kind} {name} had been changed and was put back: {child.drift}.")


def _of_suspended(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Iterator[Event]:
    old, new = (condition_of(status, api_conditions.SUSPENDED) for status in (before, after))
    was_paused, is_paused = (
        (found or {}).get("reason") == api_conditions.RECONCILIATION_PAUSED for found in (old, new)
    )
    if is_paused and not was_paused:
        yield Event(
            "Normal", "ReconciliationPaused", "Nothing but the status is written until the annotation is removed."
        )
    if was_paused and not is_paused:
        yield Event("Normal", "ReconciliationResumed", "The annotation is gone; what differs is put right.")
    was, now = ((found or {}).get("status") == "True" for found in (old, new))
    if now and not was and not is_paused:
        yield Event("Normal", "Suspended", "spec.state is Suspended; the workers finish their work and stop.")
    if was and not now and not was_paused:
        yield Event("Normal", "Resumed", "spec.state is Running again; workers are started.")


def _of_ready(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Iterator[Event]:
    old, new = (condition_of(status, api_conditions.READY) for status in (before, after))
    if new is None or new["reason"] in _QUIET:
        return
    if new["reason"] == api_conditions.WORKERS_AVAILABLE:
        yield from _of_available(before, after, new)
        return
    if old is not None and (old["status"], old["reason"]) == (new["status"], new["reason"]) and not _other(old, new):
        return
    yield Event("Normal" if new["status"] == "True" else "Warning", new["reason"], new["message"])


def _of_available(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[Event]:
    """Tell that workers are available again, once a roll is done; that they never ceased to be is no news."""
    progress = condition_of(after, api_conditions.PROGRESSING) or {}
    if progress.get("status") == "True":
        return
    old, roll = (condition_of(before, type_) or {} for type_ in (api_conditions.READY, api_conditions.PROGRESSING))
    known = (old.get("status"), old.get("reason")) == (new["status"], new["reason"])
    ended = roll.get("status") == "True"
    if not known or (ended and new["lastTransitionTime"] >= roll["lastTransitionTime"]):
        yield Event("Normal", new["reason"], new["message"])


def _of_autoscaling(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Iterator[Event]:
    """Tell what KEDA cannot do, and that it can again; what is still under way, or was asked for, is no news."""
    old, new = (condition_of(status, api_conditions.AUTOSCALING_READY) or {} for status in (before, after))
    silent = (api_conditions.STATE_SUSPENDED, api_conditions.TERMINATING_PREDECESSOR)
    if old.get("reason") == new.get("reason") or new.get("reason") in silent:
        return
    if new.get("status") == "False":
        yield Event("Warning", f"Autoscaling{new['reason']}", new["message"])
    elif new.get("status") == "True" and old.get("status") == "False" and old.get("reason") not in silent:
        yield Event("Normal", "AutoscalingReady", new["message"])


def _other(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Tell whether the same reason now means another cause; counts and names of pods in a message are none."""
    end = _CAUSE_ENDS_WITH.get(new["reason"])
    return end is not None and old["message"].split(end)[0] != new["message"].split(end)[0]


def _body(subject: Identity, event: Event, instance: str) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    key = subject.key
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": key.namespace, "name": f"{key.name}.{secrets.token_hex(8)}"},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": key.kind.name,
            "namespace": key.namespace,
            "name": key.name,
            "uid": subject.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_MAX_MESSAGE],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "reportingInstance": instance[:128],
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:] if not text.startswith(("spec.", "env")) else text
