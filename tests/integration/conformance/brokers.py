"""How each kind of broker is met: where events and messages go, and what queues are made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_outbox import waiting
from tests.stomp_queue import StompQueue

if TYPE_CHECKING:
    from collections.abc import Mapping

QUORUM = {"durable": "true", "auto-delete": "false", "prefetch-count": "1", "x-queue-type": "quorum"}


@dataclass(frozen=True)
class Broker:
    """ActiveMQ Classic, and what the others have in common with it."""

    server: Any
    settings: Mapping[str, Any] = field(default_factory=dict)

    def topic(self, name: str) -> str:
        """Return a destination of events that several queues may read."""
        return f"/topic/VirtualTopic.{name}"

    def origin(self, name: str) -> str:
        """Return what the events of `topic` tell a subscriber whose queue has the same name of where they come from."""
        return f"/queue/Consumer.{name}.VirtualTopic.{name}"

    def forgetful_topic(self, name: str) -> str | None:
        """Return a topic whose events the broker keeps for nobody; None where it keeps all."""
        return f"/topic/{name}"

    def queue(self, name: str) -> StompQueue:
        """Return a queue of that name; on RabbitMQ it must exist."""
        return StompQueue(self.server, f"/queue/{name}")

    def events(self, topic: str) -> StompQueue:
        """Return a topic, to put events of another producer into."""
        return StompQueue(self.server, topic)

    def make_queue(self, name: str) -> StompQueue:
        """Return a new, durable queue of that name."""
        return self.queue(name)

    def settle(self, subscriber: str) -> None:
        """Wait until all queues, also those that this subscriber makes, outlive a kill; where that takes a moment."""

    def forget(self, name: str) -> None:
        """Remove the queues that have this in their names, where that can be done."""


class BrokerWithTopics(Broker):
    """A broker that keeps the events of any topic for each queue that reads it."""

    def topic(self, name: str) -> str:
        return f"/topic/{name}"

    def origin(self, name: str) -> str:
        return self.topic(name)

    def forgetful_topic(self, name: str) -> str | None:
        return None


class Artemis(BrokerWithTopics):
    """Artemis, which wants to be told that a queue is one."""

    def queue(self, name: str) -> StompQueue:
        return StompQueue(
            self.server, f"/queue/{name}", {"destination-type": "ANYCAST"}, {"subscription-type": "ANYCAST"}
        )

    def events(self, topic: str) -> StompQueue:
        return StompQueue(self.server, topic, {"destination-type": "MULTICAST"})


@dataclass(frozen=True)
class RabbitMQ(BrokerWithTopics):
    """RabbitMQ with queues of one type."""

    def queue(self, name: str) -> StompQueue:
        return StompQueue(self.server, f"/amq/queue/{name}")

    def make_queue(self, name: str) -> StompQueue:
        kind = self.settings.get("DEFAULT_STOMP_QUEUE_HEADERS", {}).get("x-queue-type")
        self.server.declare_queue(name, arguments={"x-queue-type": kind} if kind else None)
        return self.queue(name)

    def settle(self, subscriber: str) -> None:
        self.server.settle(*(f"RETRY.{subscriber}.{length}s" for length in waiting.LENGTHS))

    def forget(self, name: str) -> None:
        for queue in self.server.api.queues():
            if name in queue:
                self.server.delete_queue(queue)


def met(kind: str, server: Any) -> Broker:
    """Return how a running server of this kind is met."""
    if kind == "rabbitmq-quorum":
        return RabbitMQ(server, {"DEFAULT_STOMP_QUEUE_HEADERS": QUORUM})
    return {"rabbitmq": RabbitMQ, "activemq": Broker, "artemis": Artemis}[kind](server)


def server_of(kind: str) -> str:
    """Return the fixture of the server."""
    return kind.partition("-")[0]
