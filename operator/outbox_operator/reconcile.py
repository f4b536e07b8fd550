"""Bring one resource and the cluster together: observe, plan, apply, status, Events. The work queue calls it.

A resource whose Deployment does not exist yet is handled in two passes: the first makes the Deployment and nothing
else, so that the workers of many new resources all start before the rest is done for any of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from outbox_operator import events, metrics
from outbox_operator.api.conditions import AUTOSCALING_READY, READY
from outbox_operator.api.resource import Identity
from outbox_operator.apply import Applied, adds, apply_plan, begin, changes, untouched, write_status
from outbox_operator.build.child import KEDA_KINDS
from outbox_operator.dependencies import Dependencies
from outbox_operator.errors import GoneError, InvalidError
from outbox_operator.kube import DEPLOYMENTS, type_of, type_of_child
from outbox_operator.observe import get_resource_or_none, observe, observe_pods, parse_resource
from outbox_operator.plan import plan
from outbox_operator.schema.validate import validate
from outbox_operator.status import Outcome, awaits_keda, condition_of, is_settled, stamp, status, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from outbox_operator.api.resource import Key, Object, Resource
    from outbox_operator.events import Event
    from outbox_operator.plan import Plan
    from outbox_operator.reading import Memory, Reading
    from outbox_operator.schema.structure import Violation
    from outbox_operator.teller import Teller

DEPLOYMENT: Final = "Deployment"
Clock = Callable[[], datetime]

_LOOK_AGAIN: Final = ((120.0, 3.0), (900.0, 10.0), (float("inf"), 30.0))
"""(seconds that a trouble has lasted, seconds until the next look): what fails for long is looked at less often."""
_LOOKS_PER_SECOND: Final = 50.0
"""How many such looks there are at most, however many resources are in trouble or have just been made."""


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
        memory: Memory,
        teller: Teller,
        policy: Policy | None = None,
        dependencies: Dependencies | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._memory = memory
        self._api = memory.api
        self._teller = teller
        self._policy = policy or Policy()
        self._dependencies = dependencies or Dependencies()
        self._clock = clock
        self._sound: dict[Key, tuple[str, int]] = {}
        """Uid and generation of resources that keep the rules of the schema."""
        self._refused: dict[Key, str] = {}
        """Why the API server did not take a status, as it was told last."""
        self._known: dict[Key, frozenset[str]] = {}
        """Kinds of children that each resource had when it was last looked at."""
        self._met: set[Key] = set()
        """Resources that have been looked at, however that ended."""
        self._begun: set[Key] = set()
        """Resources whose Deployment has been made, and nothing else done."""
        self._unsettled: dict[Key, float] = {}
        """When each resource that is looked at again soon is, on the monotonic clock."""

    def is_new(self, key: Key) -> bool:
        """Tell whether a resource has never been looked at."""
        return key not in self._met

    async def __call__(self, key: Key) -> float | None:
        """Reconcile and return the seconds after which to look again, or None."""
        with metrics.RECONCILE_SECONDS.labels(key.kind.name).time():
            try:
                result, after = await self._reconcile(key)
            except Exception:
                self._memory.doubt(key)
                metrics.RECONCILES.labels(key.kind.name, "error").inc()
                raise
        metrics.RECONCILES.labels(key.kind.name, result).inc()
        return after

    async def _reconcile(self, key: Key) -> tuple[str, float | None]:
        self._met.add(key)
        # Whoever looks again because no event came does not ask the watches, which may be what is silent.
        if self._unsettled.get(key, float("inf")) <= time.monotonic():
            self._memory.doubt(key)
        done = await self._pass(key, self._memory.reading(key))
        # What would change something has to be decided from what is, not from what was a moment ago.
        done = done or await self._pass(key, self._memory.anew())
        if done is None:
            raise RuntimeError("a pass that believes nothing has not decided")
        return done

    async def _pass(self, key: Key, reading: Reading) -> tuple[str, float | None] | None:
        """Look once; None: something is to be done about what may be outdated."""
        obj = await get_resource_or_none(reading, key)
        if obj is None:
            self._forget(key)
            return "noop", None
        violations = self._violations(key, obj)
        if violations:
            return await self._report_unreadable(Identity(key, obj["metadata"]["uid"]), obj, violations)
        resource = parse_resource(key, obj)
        if not reading.fresh and await self._begin(resource, reading):
            return "requeue", 0.0
        policy, present = self._policy, obj.get("status")
        observed = await observe(reading, resource, policy.rival(key), present, host_access=policy.host_access)
        self._dependencies.note(key, {name: observed.versions.get(name) for name in observed.config})
        planned = plan(resource, observed)
        changing = changes(planned, observed.deployment)
        if changing and reading.remembered:
            return None
        if changing or adds(planned, observed.deployment):
            applied = await apply_plan(self._api, planned, observed.deployment)
            self._remember(resource, applied)
        else:
            applied = untouched(planned, observed.deployment)
        return await self._conclude(resource, planned, applied, present)

    async def _begin(self, resource: Resource, reading: Reading) -> bool:
        """Make the Deployment of a resource that has none; tell whether that was all there was to do for now."""
        key, policy = resource.key, self._policy
        # With autoscaling, the number of workers to begin with depends on whether KEDA is there.
        if resource.worker.autoscaling is not None or not self._memory.lacks_deployment(key):
            return False
        rival = policy.rival(key)
        observed = await observe(reading, resource, rival, host_access=policy.host_access, siblings=False)
        made = await begin(self._api, plan(resource, observed))
        if made is None:
            return False
        self._memory.wrote(DEPLOYMENTS, made)
        self._begun.add(key)
        return True

    def _remember(self, resource: Resource, applied: Applied) -> None:
        self._memory.wrote(DEPLOYMENTS, applied.deployment)
        for child in applied.children:
            if child.removed:
                self._memory.gone(type_of_child(child.kind), resource.key.namespace, child.name)
            else:
                self._memory.wrote(type_of_child(child.kind), child.live)

    async def _conclude(
        self, resource: Resource, planned: Plan, applied: Applied, present: Object | None
    ) -> tuple[str, float | None]:
        """Say in status and Events what there is and what was done."""
        key, now = resource.key, self._clock()
        applied = self._drift(key, replace(applied, created=applied.created or key in self._begun))
        outcome = _outcome(applied, await observe_pods(self._api, resource, applied.deployment), now)
        wanted = stamp(status(resource, planned, outcome), present, now)
        told = events.transitions(resource, applied, present, wanted)
        written = await self._report(resource.identity, told, present, wanted)
        self._begun.discard(key)
        if is_settled(planned, outcome) and not awaits_keda(wanted):
            self._unsettled.pop(key, None)
            return ("success" if written or applied.wrote else "noop"), None
        after = max(self._look_again(wanted), len(self._unsettled) / _LOOKS_PER_SECOND)
        self._unsettled[key] = time.monotonic() + after
        return "requeue", after

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
        key, type_, written = subject.key, type_of(subject.key.kind), False
        metrics.set_conditions(key, wanted["conditions"])
        try:
            result = await write_status(self._api, subject, wanted, present)
            self._memory.wrote(type_, result)
            written = result is not None
        except GoneError:
            self._memory.gone(type_, key.namespace, key.name)
            return False  # Deleted meanwhile; the event of the deletion follows.
        except InvalidError as error:
            # The rest of the object breaks a rule, so that no status can be stored with it: an Event must do.
            if self._refused.get(key) == str(error):
                return False
            self._refused[key] = str(error)
        # After the status: should it fail, the same transitions are told again, and only once.
        for event in told:
            self._teller.tell(subject, event)
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
        for known in (self._known, self._sound, self._refused, self._unsettled):
            known.pop(key, None)
        for marked in (self._met, self._begun):
            marked.discard(key)
        self._memory.forget(key)
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
