"""Bring one resource and the cluster together: observe, plan, apply, status, Events. The work queue calls it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from outbox_operator import events, metrics
from outbox_operator.api.conditions import AUTOSCALING_READY, READY
from outbox_operator.api.resource import Identity
from outbox_operator.apply import Applied, apply_plan, write_status
from outbox_operator.build.child import KEDA_KINDS
from outbox_operator.dependencies import Dependencies
from outbox_operator.errors import GoneError, InvalidError
from outbox_operator.observe import get_resource_or_none, observe, observe_pods, parse_resource
from outbox_operator.plan import plan
from outbox_operator.schema.validate import validate
from outbox_operator.status import Outcome, awaits_keda, condition_of, is_settled, stamp, status, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outbox_operator.api.resource import Key, Object
    from outbox_operator.events import Event
    from outbox_operator.kube import Api
    from outbox_operator.schema.structure import Violation

logger = logging.getLogger(__name__)

DEPLOYMENT: Final = "Deployment"
Clock = Callable[[], datetime]

_LOOK_AGAIN: Final = ((120.0, 3.0), (900.0, 10.0), (float("inf"), 30.0))
"""(seconds that a trouble has lasted, seconds until the next look): what fails for long is looked at less often."""


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Policy:
    """What is decided outside of the single resource."""

    rival: Callable[[Key], str | None] = lambda _: None
    """Names the older Subscription that a queue belongs to."""
    host_access: bool = False
    """Whether pod templates may reach the node."""


class Reconciler:
    """Everything that one reconciliation needs from outside."""

    def __init__(
        self,
        api: Api,
        instance: str,
        policy: Policy | None = None,
        dependencies: Dependencies | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._api = api
        self._instance = instance
        self._policy = policy or Policy()
        self._dependencies = dependencies or Dependencies()
        self._clock = clock
        self._sound: dict[Key, tuple[str, int]] = {}
        """Uid and generation of resources that keep the rules of the schema."""
        self._refused: dict[Key, str] = {}
        """Why the API server did not take a status, as it was told last."""
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
        violations = self._violations(key, obj)
        if violations:
            return await self._report_unreadable(Identity(key, obj["metadata"]["uid"]), obj, violations)
        resource = parse_resource(key, obj)
        rival = self._policy.rival(key)
        observed = await observe(self._api, resource, rival, obj.get("status"), host_access=self._policy.host_access)
        self._dependencies.note(key, {name: observed.versions.get(name) for name in observed.config})
        planned = plan(resource, observed)
        applied = self._drift(key, await apply_plan(self._api, planned, observed.deployment))
        pods = await observe_pods(self._api, resource, applied.deployment)
        now = self._clock()
        outcome = _outcome(applied, pods, now)
        present = obj.get("status")
        wanted = stamp(status(resource, planned, outcome), present, now)
        told = events.transitions(resource, applied, present, wanted)
        written = await self._report(resource.identity, told, present, wanted)
        if is_settled(planned, outcome) and not awaits_keda(wanted):
            return ("success" if written or applied.wrote else "noop"), None
        return "requeue", self._look_again(wanted)

    def _violations(self, key: Key, obj: Object) -> list[Violation]:
        """Return which rules a resource breaks: one stored before the schema knew them, or past validation."""
        metadata = obj["metadata"]
        seen = (metadata["uid"], metadata["generation"])
        if self._sound.get(key) == seen:
            return []
        found = [violation for violation in validate(key.kind, obj, known_only=True) if violation.path != "status"]
        if not found:
            self._sound[key] = seen
        return found

    async def _report_unreadable(
        self, subject: Identity, obj: Object, violations: list[Violation]
    ) -> tuple[str, float | None]:
        more = f" ({len(violations) - 1} more)" if len(violations) > 1 else ""
        message = f"The stored resource breaks a rule of the schema: {violations[0]}{more}. Correct it; until then its "
        message += "workers stay as they are."
        present = obj.get("status") if isinstance(obj.get("status"), dict) else None
        wanted = stamp(unreadable(present, obj["metadata"]["generation"], message), present, self._clock())
        written = await self._report(subject, events.of_status(present, wanted), present, wanted)
        return ("success" if written else "noop"), None

    async def _report(self, subject: Identity, told: Iterable[Event], present: Object | None, wanted: Object) -> bool:
        metrics.set_conditions(subject.key, wanted["conditions"])
        try:
            written = await write_status(self._api, subject, wanted, present)
        except GoneError:
            return False  # Deleted meanwhile; the event of the deletion follows.
        except InvalidError as error:
            # The rest of the object breaks a rule, so that no status can be stored with it: an Event must do.
            if self._refused.get(subject.key) == str(error):
                return False
            self._refused[subject.key] = str(error)
            written = False
        # After the status: should it fail, the same transitions are told again, and only once.
        for event in told:
            logger.info("%s: %s: %s", subject.key, event.reason, event.message)
            await events.post(self._api, subject, event, self._instance)
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
        conditions = (condition_of(wanted, type_) for type_ in (READY, AUTOSCALING_READY))
        since = max((item["lastTransitionTime"] for item in conditions if item), default="")
        lasted = (self._clock() - datetime.fromisoformat(since)).total_seconds() if since else 0.0
        return next(delay for limit, delay in _LOOK_AGAIN if lasted < limit)

    def _forget(self, key: Key) -> None:
        for known in (self._known, self._sound, self._refused):
            known.pop(key, None)
        self._dependencies.note(key, {})
        metrics.forget_resource(key)


def _outcome(applied: Applied, pods: Sequence[Object], now: datetime) -> Outcome:
    refusals = [(child.kind, child.refused) for child in applied.children if child.refused is not None]
    return Outcome(
        deployment=applied.deployment,
        now=now,
        pods=pods,
        refused=applied.refused,
        refused_children=tuple(problem for kind, problem in refusals if kind not in KEDA_KINDS),
        refused_scaler=next((problem for kind, problem in refusals if kind in KEDA_KINDS), None),
    )
