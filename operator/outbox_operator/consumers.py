"""Which Subscriptions consume which queue. Written by `handlers` and `resync`, asked by `reconcile`.

Two Subscriptions with one queue and different callbacks would get each other's messages: each message goes to either,
at random. The older one keeps the queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from outbox_operator.api.marks import QUEUE_SHARED
from outbox_operator.api.resource import SUBSCRIPTION, Key

if TYPE_CHECKING:
    from collections.abc import Mapping


class Consumer(NamedTuple):
    """One Subscription, ordered by age; the name decides between those of one second."""

    created: str
    name: str
    queue: str
    callback: str
    shares: bool
    """Whether its annotation says that the queue is meant to be shared."""


class Consumers:
    """Index of Subscriptions by namespace and queue."""

    def __init__(self) -> None:
        self._by_key: dict[Key, Consumer] = {}
        self._by_queue: dict[tuple[str, str], set[Key]] = {}

    def update(self, key: Key, obj: Mapping[str, Any] | None) -> frozenset[Key]:
        """Note what a Subscription consumes now (None: it is gone); return the others that this may concern."""
        new, old = _consumer(key, obj), self._by_key.get(key)
        if new == old:
            return frozenset()
        concerned: set[Key] = set()
        if old is not None:
            peers = self._by_queue[key.namespace, old.queue]
            peers.discard(key)
            concerned |= peers
            if not peers:
                del self._by_queue[key.namespace, old.queue]
            del self._by_key[key]
        if new is not None:
            peers = self._by_queue.setdefault((key.namespace, new.queue), set())
            concerned |= peers
            peers.add(key)
            self._by_key[key] = new
        return frozenset(concerned - {key})

    def rival(self, key: Key) -> str | None:
        """Return the name of an older Subscription with the same queue and another callback, or None."""
        own = self._by_key.get(key)
        if own is None or own.shares:
            return None
        others = (self._by_key[peer] for peer in self._by_queue[key.namespace, own.queue] if peer != key)
        rivals = [other for other in others if other.callback != own.callback and not other.shares and other < own]
        return min(rivals).name if rivals else None


def _consumer(key: Key, obj: Mapping[str, Any] | None) -> Consumer | None:
    if obj is None or key.kind is not SUBSCRIPTION:
        return None
    spec, metadata = obj.get("spec"), obj["metadata"]
    if not isinstance(spec, dict) or not isinstance(spec.get("queue"), str) or metadata.get("deletionTimestamp"):
        return None
    shares = (metadata.get("annotations") or {}).get(QUEUE_SHARED) == "Allowed"
    created = str(metadata.get("creationTimestamp", ""))
    return Consumer(created, key.name, spec["queue"], str(spec.get("callback", "")), shares)
