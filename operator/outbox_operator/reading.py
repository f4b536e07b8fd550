"""Where a pass reads from: what the watches have shown, or the API server. `reconcile` asks for a `Reading` each time.

What the watches have shown may be a moment old. So it is good for one thing: to find that nothing has to be done. As
soon as something has, `reconcile` reads everything anew and decides again; see `Reading.remembered`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from outbox_operator.api.resource import KINDS, Key, Object
from outbox_operator.budgets import BUDGETS, Budgets
from outbox_operator.build.names import deployment_name
from outbox_operator.kube import CONFIG_MAPS, DEPLOYMENTS, SECRETS, Api, Type, type_of
from outbox_operator.mirror import Mirror, Place, snapshot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CONFIG_SECONDS: Final = 1.0
"""A Secret or ConfigMap that was read serves others for so long: a thousand new resources may refer to one."""
_WATCHED: Final = frozenset({DEPLOYMENTS, *(type_of(kind) for kind in KINDS)})


class Reader(Protocol):
    """What `observe` needs; the API server itself is one."""

    async def get(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object, or None when it or its kind does not exist."""

    async def get_of_known_kind(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object, or None when it does not exist; an unknown kind is an error."""

    async def list(self, type_: Type, namespace: str | None, selector: str = "") -> list[Object]:
        """Return the objects that a selector finds."""


class Briefly:
    """Remembers objects for some seconds. Who asks while another does waits for the same answer."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._answers: dict[Place, asyncio.Task[Object | None]] = {}

    async def get(self, place: Place, ask: Callable[[], Awaitable[Object | None]]) -> Object | None:
        """Return an object; of one that does not exist nothing is remembered."""
        answer = self._answers.get(place)
        if answer is None or (answer.done() and _is_worthless(answer)):
            answer = self._answers[place] = asyncio.ensure_future(self._remember(place, ask))
        return await asyncio.shield(answer)

    def forget(self, place: Place) -> None:
        """Have the object read anew by whoever asks next."""
        self._answers.pop(place, None)

    async def _remember(self, place: Place, ask: Callable[[], Awaitable[Object | None]]) -> Object | None:
        task = asyncio.current_task()

        def expire() -> None:
            if self._answers.get(place) is task:
                del self._answers[place]

        asyncio.get_running_loop().call_later(self._seconds, expire)
        return await ask()


def _is_worthless(answer: asyncio.Task[Any]) -> bool:
    return answer.cancelled() or answer.exception() is not None or answer.result() is None


class Memory:
    """What is remembered between passes."""

    def __init__(self, api: Api, mirror: Mirror) -> None:
        self.api = api
        self.mirror = mirror
        self.configs = Briefly(CONFIG_SECONDS)
        self.budgets = Budgets()
        self._doubted: set[Key] = set()

    def doubt(self, key: Key) -> None:
        """Have the next pass over a resource believe nothing that is remembered."""
        self._doubted.add(key)

    def reading(self, key: Key) -> Reading:
        """Return where the next pass over a resource reads from."""
        doubted = key in self._doubted
        self._doubted.discard(key)
        return Reading(self, fresh=doubted)

    def anew(self) -> Reading:
        """Return where a pass reads from that believes nothing that is remembered."""
        return Reading(self, fresh=True)

    def lacks_deployment(self, key: Key) -> bool:
        """Tell whether nothing of the name of a resource's Deployment exists, as far as the watches have shown."""
        return self.mirror.lacks(Place(DEPLOYMENTS.plural, key.namespace, deployment_name(key)))

    def wrote(self, type_: Type, obj: Object | None) -> None:
        """Note what one of our own writes has led to."""
        if obj is None:
            return
        if type_ in _WATCHED:
            self.mirror.note(snapshot(type_.plural, obj))
        elif type_ == BUDGETS:
            self.budgets.note(obj)

    def learned(self, type_: Type, place: Place, found: Object | None) -> None:
        """Note what the API server has answered about an object."""
        if found is None:
            self.gone(type_, place.namespace, place.name)
        else:
            self.wrote(type_, found)

    def gone(self, type_: Type, namespace: str, name: str) -> None:
        """Note that an object was found not to exist."""
        place = Place(type_.plural, namespace, name)
        self.mirror.drop(place)
        self.budgets.drop(place)

    def forget(self, key: Key) -> None:
        """Note that a resource is gone."""
        self._doubted.discard(key)
        self.budgets.drop(Place(BUDGETS.plural, key.namespace, deployment_name(key)))


class Reading:
    """The reads of one pass."""

    def __init__(self, memory: Memory, *, fresh: bool) -> None:
        self._memory = memory
        self.fresh = fresh
        self.remembered = False
        """Whether anything was taken from memory that may have changed since."""

    async def get(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object, or None when it or its kind does not exist."""
        place = Place(type_.plural, namespace, name)
        if type_ in (SECRETS, CONFIG_MAPS):
            if self.fresh:
                self._memory.configs.forget(place)
            self.remembered = self.remembered or not self.fresh
            return await self._memory.configs.get(place, lambda: self._memory.api.get(type_, namespace, name))
        if type_ not in _WATCHED:
            return await self._memory.api.get(type_, namespace, name)
        if not self.fresh:
            found = self._memory.mirror.get(place)
            if found is not None or (type_ == DEPLOYMENTS and self._memory.mirror.lacks(place)):
                self.remembered = True
                return found
        found = await self._memory.api.get(type_, namespace, name)
        self._memory.learned(type_, place, found)
        return found

    async def get_of_known_kind(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object, or None when it does not exist.

        Raises:
            UnknownKindError: the API server does not know such objects.
        """
        place = Place(type_.plural, namespace, name)
        if type_ == BUDGETS and not self.fresh:
            found = self._memory.budgets.get(place)
            if found is not None:
                self.remembered = True
                return found
        found = await self._memory.api.get_of_known_kind(type_, namespace, name)
        self._memory.learned(type_, place, found)
        return found

    async def list(self, type_: Type, namespace: str | None, selector: str = "") -> list[Object]:
        """Return the objects that a selector finds; always asked for."""
        return await self._memory.api.list(type_, namespace, selector)
