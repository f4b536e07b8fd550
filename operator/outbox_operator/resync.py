"""The full look at the cluster, once in a while: heals what a watch missed, counts it, and notices dead watches.

A watch can die in silence while the process lives. So everything is listed and compared with what the watches
delivered: what stays undelivered is counted, put on the queue, and when it happens again and again /healthz fails.
Lists are of metadata only: its generation and version tell whether the present state of an object is known.
PodDisruptionBudgets, Secrets and ConfigMaps, which no watch delivers, are compared with what was known of them, or with
what the resources were decided from. And whatever looks as it should is reconciled all the same, a share of it each
time: that bounds the cost of a look, not its depth.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from outbox_operator import metrics
from outbox_operator.api.resource import KINDS, Key, Kind
from outbox_operator.budgets import BUDGETS
from outbox_operator.build.labels import OWNED_SELECTOR
from outbox_operator.deliveries import key_of
from outbox_operator.errors import KubeError
from outbox_operator.kube import DEPLOYMENTS, type_of, type_of_config
from outbox_operator.mirror import Place, mention, snapshot
from outbox_operator.ownership import owner_key

if TYPE_CHECKING:
    from outbox_operator.knowledge import Knowledge

logger = logging.getLogger(__name__)

GRACE_SECONDS: Final = 10.0
"""An event may still be on its way when the list already shows its object."""
MISSES_UNTIL_DEAD: Final = 2
"""Rounds in a row with something undelivered until a watch counts as dead."""
_LIST_RETRY_SECONDS: Final = 2.0
SHARE: Final = 50
"""Resources put on the queue in a look without any sign that they need it: those whose turn was longest ago."""
_AT_ONCE: Final = 8
"""Secrets and ConfigMaps looked at side by side."""
_STALE_ROUNDS: Final = 5
"""Rounds without a successful look until the process counts as stuck."""

_KIND_BY_PLURAL: Final = {kind.plural: kind for kind in KINDS}

Sleep = Callable[[float], Awaitable[None]]


class Health:
    """Whether the watches and the resync are alive; asked by `server`."""

    def __init__(self, resync_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = _STALE_ROUNDS * resync_seconds + 60.0
        self._clock = clock
        self._misses: Counter[str] = Counter()
        self._last_look: float | None = None
        """None until this replica works: a standby looks at nothing."""

    def working(self) -> None:
        """Note that this replica has begun to work."""
        self._last_look = self._clock()

    def looked(self, missed: Mapping[str, int]) -> None:
        """Note the outcome of a full look: undelivered objects by resource type."""
        self._last_look = self._clock()
        for resource, number in missed.items():
            self._misses[resource] = self._misses[resource] + 1 if number else 0

    def answered(self) -> None:
        """Note that a look failed because of the API server; that is no fault of this process."""
        self._last_look = self._clock()

    def complaint(self) -> str | None:
        """Return what is wrong, or None."""
        dead = sorted(name for name, rounds in self._misses.items() if rounds >= MISSES_UNTIL_DEAD)
        if dead:
            return f"the watch of {', '.join(dead)} is dead: changes were seen by listing and not delivered"
        if self._last_look is not None and self._clock() - self._last_look > self._limit:
            return f"no full look at the cluster for more than {self._limit:.0f} s"
        return None


class Resync:
    """Lists everything every `seconds` and puts on the queue what has changed unnoticed, and a share of the rest."""

    def __init__(self, namespaces: tuple[str, ...], knowledge: Knowledge, add: Callable[[Key], None]) -> None:
        self._api = knowledge.memory.api
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)
        self._memory = knowledge.memory
        self._deliveries = knowledge.deliveries
        self._followers = knowledge.followers
        self._consumers = knowledge.consumers
        self._dependencies = knowledge.dependencies
        self._add = add
        self._turn: dict[Key, int] = {}
        """The look in which it was each resource's turn last."""
        self._looks = 0
        self._shown: set[tuple[str, str]] = set()
        """Labels of `outbox_operator_resources` that have been set."""

    async def run(
        self, seconds: float, health: Health, begin: Callable[[], Awaitable[None]], sleep: Sleep = asyncio.sleep
    ) -> None:
        """Look until cancelled. Once everything can be listed, `begin` starts the watches, which list it themselves."""
        await self._until_listed(health, sleep)
        await begin()
        while True:
            await sleep(seconds)
            try:
                health.looked(await self.look(sleep))
            except KubeError as error:
                health.answered()
                logger.warning("cannot look at the whole cluster: %s", error)

    async def _until_listed(self, health: Health, sleep: Sleep) -> None:
        """Wait for CRDs, rights and the API server: a watch of what is not there yet would never come to life."""
        while True:
            try:
                listed = await self._list()
                others = [obj for place in self._namespaces for obj in await self._names(place)]
                budgets = await self._budgets()
            except KubeError as error:
                health.answered()
                logger.warning("waiting until everything can be listed: %s", error)
                await sleep(_LIST_RETRY_SECONDS)
            else:
                for budget in budgets:
                    self._memory.budgets.note(budget)
                self._begin(listed, others)
                return

    def _begin(self, listed: Mapping[str, list[dict[str, Any]]], others: Iterable[dict[str, Any]]) -> None:
        """Take in what there is at first and have all of it handled; the watches, which come to it later, go on."""
        mirror = self._memory.mirror
        for resource, objects in listed.items():
            for obj in objects:
                mirror.note(snapshot(resource, obj))
        for obj in others:
            mirror.note(mention(DEPLOYMENTS.plural, obj))
        mirror.complete = True
        # Who shares a queue with whom must be known before the first of them is started.
        keys = {key_of(kind, obj): obj for kind in KINDS for obj in listed[kind.plural]}
        for key, obj in keys.items():
            self._consumers.update(key, obj)
            self._followers.update(key, obj)
        self._turn = dict.fromkeys(keys, 0)
        for key in keys:
            self._add(key)

    async def look(self, sleep: Sleep = asyncio.sleep) -> dict[str, int]:
        """Look once; return how many objects of each type the watches have failed to deliver."""
        listed = await self._list(metadata_only=True)
        late, behind = self._undelivered(listed), self._unknown(listed)
        await self._take_in(kind for kind in KINDS if kind.plural in {*late, *behind})
        keys = {key_of(kind, obj) for kind in KINDS for obj in listed[kind.plural]}
        # Also what has no Deployment, and what is gone: of a deletion that was missed nothing else tells.
        alone = keys - {owner_key(obj) for obj in listed[DEPLOYMENTS.plural]}
        gone = self._turn.keys() - keys
        doubtful = {*alone, *gone, *_concerned(late), *_concerned(behind), *await self._outdated()}
        doubtful |= self._memory.budgets.concerned(await self._budgets(metadata_only=True))
        for key in doubtful:
            self._memory.doubt(key)
        for key in {*doubtful, *self._in_turn(keys)}:
            self._add(key)
        self._show(Counter((key.kind.name, key.namespace) for key in keys))
        if late:
            await sleep(GRACE_SECONDS)
        missed = self._undelivered(dict(late))
        for resource, objects in missed.items():
            metrics.MISSED_EVENTS.labels(resource).inc(len(objects))
            logger.warning("the watch of %s has not delivered %d changes", resource, len(objects))
        return {resource: len(missed.get(resource, ())) for resource in listed}

    async def _take_in(self, kinds: Iterable[Kind]) -> None:
        """Note what the resources of some kinds say about each other, of which metadata tells nothing."""
        for kind in kinds:
            for namespace in self._namespaces:
                for obj in await self._api.list(type_of(kind), namespace):
                    self._followers.update(key_of(kind, obj), obj)
                    self._consumers.update(key_of(kind, obj), obj)

    def _in_turn(self, keys: Iterable[Key]) -> list[Key]:
        """Return the resources whose turn was longest ago, and note that it is their turn now."""
        self._looks += 1
        self._turn = {key: self._turn.get(key, 0) for key in keys}
        chosen = heapq.nsmallest(SHARE, self._turn, key=self._turn.__getitem__)
        self._turn.update(dict.fromkeys(chosen, self._looks))
        return chosen

    async def _outdated(self) -> list[Key]:
        """Return the resources that were decided from another version of a Secret or ConfigMap than there is now."""
        found: list[Key] = []
        waiting = iter(self._dependencies.all())

        async def work() -> None:
            for dependency in waiting:
                type_ = type_of_config(dependency.config)
                version = await self._api.version(type_, *dependency.place)
                outdated = list(self._dependencies.outdated(dependency, version))
                if outdated:
                    self._memory.configs.forget(Place(type_.plural, *dependency.place))
                found.extend(outdated)

        await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
        return found

    async def _list(self, *, metadata_only: bool = False) -> dict[str, list[dict[str, Any]]]:
        listed: dict[str, list[dict[str, Any]]] = {}
        for namespace in self._namespaces:
            for kind in KINDS:
                found = await self._api.list(type_of(kind), namespace, metadata_only=metadata_only)
                listed.setdefault(kind.plural, []).extend(found)
            owned = await self._api.list(DEPLOYMENTS, namespace, OWNED_SELECTOR, metadata_only=metadata_only)
            ours = [deployment for deployment in owned if owner_key(deployment) is not None]
            listed.setdefault(DEPLOYMENTS.plural, []).extend(ours)
        return listed

    async def _budgets(self, *, metadata_only: bool = False) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for namespace in self._namespaces:
            found += await self._api.list(BUDGETS, namespace, OWNED_SELECTOR, metadata_only=metadata_only)
        return found

    async def _names(self, namespace: str | None) -> list[dict[str, Any]]:
        """Return every Deployment, whoever's it is, without its content."""
        return await self._api.list(DEPLOYMENTS, namespace, metadata_only=True)

    def _undelivered(self, listed: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        late = {
            resource: [obj for obj in objects if not self._deliveries.has(resource, obj)]
            for resource, objects in listed.items()
        }
        return {resource: objects for resource, objects in late.items() if objects}

    def _unknown(self, listed: Mapping[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
        """Return what is known in an older state only; a change of status too, which no generation tells of."""
        mirror = self._memory.mirror
        behind = {
            resource: [obj for obj in objects if mirror.is_behind(resource, obj)]
            for resource, objects in listed.items()
        }
        return {resource: objects for resource, objects in behind.items() if objects}

    def _show(self, counts: Counter[tuple[str, str]]) -> None:
        for labels in self._shown - counts.keys():
            metrics.RESOURCES.remove(*labels)
        for labels, number in counts.items():
            metrics.RESOURCES.labels(*labels).set(number)
        self._shown = set(counts)


def _concerned(late: Mapping[str, list[dict[str, Any]]]) -> Iterator[Key]:
    """Return the resources that undelivered objects are, or belong to."""
    for resource, objects in late.items():
        for obj in objects:
            key = owner_key(obj) if resource == DEPLOYMENTS.plural else key_of(_KIND_BY_PLURAL[resource], obj)
            if key is not None:
                yield key
