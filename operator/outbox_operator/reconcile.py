"""Bring one resource and the cluster together: observe, plan, apply, status, Events. The work queue calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from outbox_operator import events, metrics
from outbox_operator.api.conditions import READY
from outbox_operator.apply import Applied, apply_plan, write_status
from outbox_operator.errors import GoneError
from outbox_operator.observe import get_resource_or_none, observe, observe_pods, parse_resource
from outbox_operator.plan import plan
from outbox_operator.status import Outcome, condition_of, is_settled, stamp, status

if TYPE_CHECKING:
    from outbox_operator.api.resource import Key, Object, Resource
    from outbox_operator.kube import Api

logger = logging.getLogger(__name__)

DEPLOYMENT: Final = "Deployment"
Clock = Callable[[], datetime]

_LOOK_AGAIN: Final = ((120.0, 3.0), (900.0, 10.0), (float("inf"), 30.0))
"""(seconds that a trouble has lasted, seconds until the next look): what fails for long is looked at less often."""


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class Reconciler:
    """Everything that one reconciliation needs from outside."""

    def __init__(self, api: Api, instance: str, clock: Clock = utc_now) -> None:
        self._api = api
        self._instance = instance
        self._clock = clock
        self._known: dict[Key, frozenset[str]] = {}
        """Kinds of children that each resource had when it was last looked at."""

    async def __call__(self, key: Key) -> float | None:
        """Reconcile and return the seconds after which to look again, or None."""
        with metrics.RECONCILE_SECONDS.labels(key.kind.name).time():
            try:
                result, after = await self._reconcile(key)
            except Exception:
                metrics.RECONCILES.labels(key.kind.name, "error").inc()
                raise
        metrics.RECONCILES.labels(key.kind.name, result).inc()
        return after

    async def _reconcile(self, key: Key) -> tuple[str, float | None]:
        obj = await get_resource_or_none(self._api, key)
        if obj is None:
            self._forget(key)
            return "noop", None
        resource = parse_resource(key, obj)
        observed = await observe(self._api, resource)
        planned = plan(resource, observed)
        applied = self._drift(key, await apply_plan(self._api, planned, observed.deployment))
        pods = await observe_pods(self._api, resource, applied.deployment)
        now = self._clock()
        refused = tuple(child.refused for child in applied.children if child.refused is not None)
        outcome = Outcome(applied.deployment, now, pods, applied.refused, refused)
        present = obj.get("status")
        wanted = stamp(status(resource, planned, outcome), present, now)
        written = await self._report(resource, applied, present, wanted)
        if is_settled(planned, outcome):
            return ("success" if written or applied.wrote else "noop"), None
        return "requeue", self._look_again(wanted)

    async def _report(self, resource: Resource, applied: Applied, present: Object | None, wanted: Object) -> bool:
        metrics.set_conditions(resource.key, wanted["conditions"])
        try:
            written = await write_status(self._api, resource, wanted, present)
        except GoneError:
            return False  # Deleted meanwhile; the event of the deletion follows.
        # After the status: should it fail, the same transitions are told again, and only once.
        for event in events.transitions(resource, applied, present, wanted):
            logger.info("%s: %s: %s", resource.key, event.reason, event.message)
            await events.post(self._api, resource, event, self._instance)
        return written

    def _drift(self, key: Key, applied: Applied) -> Applied:
        """Count what was put back; a child made for a resource that had one was deleted by somebody."""
        known, deleted = self._known.get(key, frozenset()), "it had been deleted"
        if applied.created and DEPLOYMENT in known:
            applied = replace(applied, created=False, drift=deleted)
        children = tuple(
            replace(child, created=False, drift=deleted) if child.created and child.kind.name in known else child
            for child in applied.children
        )
        for name, drift in ((DEPLOYMENT, applied.drift), *((child.kind.name, child.drift) for child in children)):
            if drift is not None:
                metrics.DRIFT_CORRECTIONS.labels(key.kind.name, name).inc()
        present = {child.kind.name for child in children if child.live is not None}
        self._known[key] = frozenset(present | ({DEPLOYMENT} if applied.deployment is not None else set()))
        return replace(applied, children=children)

    def _look_again(self, wanted: Object) -> float:
        condition = condition_of(wanted, READY)
        since = condition["lastTransitionTime"] if condition else ""
        lasted = (self._clock() - datetime.fromisoformat(since)).total_seconds() if since else 0.0
        return next(delay for limit, delay in _LOOK_AGAIN if lasted < limit)

    def _forget(self, key: Key) -> None:
        self._known.pop(key, None)
        metrics.forget_resource(key)
