"""What is known about the cluster, in one place for all parts that learn something or ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from outbox_operator.consumers import Consumers
from outbox_operator.deliveries import Deliveries, Followers
from outbox_operator.dependencies import Dependencies

if TYPE_CHECKING:
    from outbox_operator.reading import Memory


@dataclass(frozen=True)
class Knowledge:
    """`handlers` and `resync` fill it, `reconcile` decides by it."""

    memory: Memory
    deliveries: Deliveries = field(default_factory=Deliveries)
    followers: Followers = field(default_factory=Followers)
    consumers: Consumers = field(default_factory=Consumers)
    dependencies: Dependencies = field(default_factory=Dependencies)
