"""Stand-ins for what is outside the process: a connection that remembers, a pause that notes what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_outbox.processing import Processor
from django_outbox.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class Connection:
    """A stomp.py connection that remembers what it was told."""

    version: str = "1.2"
    connected: bool = True
    sent: list[tuple[Any, ...]] = field(default_factory=list)
    listeners: dict[str, Any] = field(default_factory=dict)
    transport: Any = None

    def ack(self, *address: Any) -> None:
        self.sent.append(("ACK", *address))

    def nack(self, *address: Any, **headers: Any) -> None:
        self.sent.append(("NACK", *address, headers))

    def subscribe(self, destination: str, id: str, ack: str, headers: dict[str, Any], receipt: str) -> None:  # noqa: A002
        self.sent.append(("SUBSCRIBE", destination, ack, headers))

    def is_connected(self) -> bool:
        return self.connected

    def set_listener(self, name: str, listener: Any) -> None:
        self.listeners[name] = listener


@dataclass
class Pause:
    """Notes how long it was asked to sleep; tells to stop at the n-th time."""

    stop_at: int | None = None
    slept: list[float] = field(default_factory=list)

    def __call__(self, seconds: float) -> bool:
        self.slept.append(seconds)
        return self.stop_at is not None and len(self.slept) >= self.stop_at


def headers(**given: str) -> dict[str, str]:
    """Headers of a delivery as RabbitMQ sends it, with underscores written for hyphens."""
    named = {name.replace("_", "-"): value for name, value in given.items()}
    return {"message-id": "T_1@@session-1@@1", "ack": "T_1@@session-1@@1", "destination": "/topic/x", **named}


def processor(callback: Callable[..., object], pause: Pause | None = None, **more: Any) -> Processor:
    """A processor of the queue "billing"."""
    return Processor(Subscription(callback, "/topic/orders", "billing"), pause=pause or Pause(), **more)
