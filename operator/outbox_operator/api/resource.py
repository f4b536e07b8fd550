"""The two kinds and the parsed form of one resource. Everything above works with `Resource`, never with raw specs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from outbox_operator.api.worker import WorkerSpec

Object = dict[str, Any]
"""A Kubernetes object as the API server sends it."""

GROUP: Final = "djangooutbox.io"
VERSION: Final = "v1alpha1"


@dataclass(frozen=True)
class Kind:
    """One of our custom resources and the names that derive from it."""

    name: str
    plural: str
    component: str
    """Value of `app.kubernetes.io/component`, and the last part of the selector label."""
    suffix: str
    """What the Deployment's name adds to the resource's name."""


PUBLISHER: Final = Kind(name="Publisher", plural="publishers", component="publisher", suffix="-pub")
SUBSCRIPTION: Final = Kind(name="Subscription", plural="subscriptions", component="subscription", suffix="-sub")
KINDS: Final = (PUBLISHER, SUBSCRIPTION)
KIND_BY_NAME: Final = {kind.name: kind for kind in KINDS}


class Key(NamedTuple):
    """Identity of a resource in the work queue."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.name} {self.namespace}/{self.name}"


class Identity(NamedTuple):
    """Which object of the cluster is meant; all that is needed of a resource to report on it."""

    key: Key
    uid: str


@dataclass(frozen=True)
class Resource:
    """One Publisher or Subscription, parsed, with every default in place."""

    key: Key
    uid: str
    generation: int
    worker: WorkerSpec
    arguments: tuple[str, ...]
    """Arguments of the management command, those of the kind only."""
    preflight_arguments: tuple[str, ...] = ()
    """What the preflight has to know of those."""
    database: str | None = None
    """Alias of the outbox's database, if it is not the default."""
    callback: str | None = None
    queue: str | None = None
    """The queue that is consumed; None for a Publisher."""
    ordered: bool = False
    """Whether two workers must never run side by side."""
    paused: bool = False
    """Whether nothing of it may be written but its status."""

    @property
    def identity(self) -> Identity:
        """Which object this is."""
        return Identity(self.key, self.uid)
