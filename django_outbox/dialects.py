"""What differs between brokers that all speak STOMP: how a queue is addressed, declared, delayed. No broker needed.

``dialect_of`` reads the ``server`` header of CONNECTED. Who subscribes (``link.py``, ``consumer.py``) and who sends
(``transport/publishing.py``, dead letters, retries) asks the dialect instead of the broker's name. Every fact here is
held to the real brokers by ``tests/contract``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import waiting
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

DEAD_LETTER_PREFIX = "DLQ."
RETRY_PREFIX = "RETRY."

_TOPIC, _QUEUE = "/topic/", "/queue/"
# What a project sets for RabbitMQ and the others would take for headers of their own.
_RABBITMQ_ARGUMENTS = frozenset({"durable", "auto-delete", "exclusive", "prefetch-count"})
# Artemis counts a window in bytes. About the size of a small message with its headers.
_BYTES_A_MESSAGE = 1024
_VIRTUAL_TOPIC = "VirtualTopic."


class Dialect:
    """A broker of which nothing is known but that it speaks STOMP 1.2; the base of the others.

    ``nack_keeps`` tells whether the broker keeps a message that is refused (NACK), in whatever dead letter queue it
    has; where it is False a NACK destroys the message, so it must be sent elsewhere and acknowledged, or left alone.
    ``declares_queues`` tells whether a queue has to be declared, with arguments that must be equal each time, before
    anything is sent to it. ``subscribers_bring_back`` tells whether delayed messages wait in queues of their own until
    a subscriber fetches them, see ``waiting_queues``.
    """

    name = "STOMP"
    nack_keeps = False
    declares_queues = False
    subscribers_bring_back = False

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def queue(self, name: str) -> str:
        """Return the destination of an existing queue, without declaring it anew; ``name`` may come from ``source``."""
        return f"{_QUEUE}{name}"

    def source(self, destination: str, queue: str) -> str:
        """Return the broker's own name of the queue that this subscription reads, for ``queue`` and ``delayed``.

        It is ``queue`` only for topics and exchanges: a subscription to ``/queue/orders`` reads ``orders`` whatever
        the worker calls its queue.
        """
        return _after(destination, _QUEUE) or queue

    def subscribe_destination(self, destination: str, queue: str) -> str:
        """Return the destination to SUBSCRIBE to. Raises ``ConfigurationError`` where messages would not be kept."""
        return destination

    def subscribe_headers(self, destination: str, queue: str, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what SUBSCRIBE needs here, made of what RabbitMQ would be declared with; a new dict each time."""
        return _without_arguments(headers)

    def browse_headers(self, count: int) -> Mapping[str, str]:
        """Return what a SUBSCRIBE needs to be handed about ``count`` messages at once, as far as that can be said."""
        return {}

    def send_headers(self, destination: str) -> Mapping[str, str]:
        """Return what a SEND to this destination needs besides the message's own headers."""
        return {}

    def delayed(
        self, queue: str, seconds: float, queue_headers: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, str]]:
        """Return destination and headers of a SEND that arrives in ``queue`` after ``seconds``.

        ``queue`` is what ``source`` returned. ``queue_headers`` are those of the subscription; RabbitMQ's waiting
        queues are of the same type. Raises ``ConfigurationError`` where the broker cannot do that.
        """
        raise ConfigurationError(
            f"{self.name} is not known to deliver a message later. Set CONSUMER_RETRY_DELAYS to () in "
            "DJANGO_OUTBOX_PATTERN: failed messages then go straight to the dead letters."
        )

    def waiting_queues(self, queue: str, queue_headers: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
        """Return what ``delayed`` may send to, with what SUBSCRIBE needs; none where subscribers bring nothing back."""
        return {}

    def dead_letter_destination(self, queue: str) -> str:
        """Return where dead letters of the worker's queue are sent to and read from, without declaring anything."""
        return self.queue(f"{DEAD_LETTER_PREFIX}{queue}")


class RabbitMQ(Dialect):
    """RabbitMQ, whose queues are declared by SUBSCRIBE with arguments that can never change."""

    name = "RabbitMQ"
    nack_keeps = True
    declares_queues = True
    subscribers_bring_back = True

    def queue(self, name: str) -> str:
        """Return ``/amq/queue/NAME``: ``/queue/NAME`` would declare it again, with other arguments."""
        return f"/amq/queue/{_escaped(name)}"

    def source(self, destination: str, queue: str) -> str:
        """Return the queue of a ``/queue/`` or ``/amq/queue/`` destination, else the one that the worker names."""
        named = _after(destination, "/amq/queue/") or _after(destination, _QUEUE)
        return named.replace("%2F", "/") if named else queue

    def subscribe_headers(self, destination: str, queue: str, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the declaration as it is: to the byte what the queue exists with."""
        return dict(headers)

    def browse_headers(self, count: int) -> Mapping[str, str]:
        """Return the prefetch: the broker holds what is beyond it back."""
        return {"prefetch-count": str(count)}

    def delayed(
        self, queue: str, seconds: float, queue_headers: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, str]]:
        """Return the queue in which messages wait so long; ``waiting.stamps`` has to tell on each when it is due.

        The queue never expires by itself: the broker declares it at the first SEND of a connection only, so one that
        went away later would take the messages with it that a worker sends after a month without a retry.
        """
        return self._waiting_queue(queue, waiting.length_for(seconds), queue_headers or {})

    def waiting_queues(self, queue: str, queue_headers: Mapping[str, Any] | None = None) -> dict[str, dict[str, str]]:
        """Return the queue of each length."""
        return dict(self._waiting_queue(queue, length, queue_headers or {}) for length in waiting.LENGTHS)

    def _waiting_queue(self, queue: str, length: int, queue_headers: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        headers = {
            "durable": "true",
            "auto-delete": "false",
            "exclusive": "false",
            "x-message-ttl": str((length + waiting.NET_SECONDS) * 1000),
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": queue,
        }
        if queue_type := queue_headers.get("x-queue-type"):
            headers["x-queue-type"] = str(queue_type)
        return f"{_QUEUE}{_escaped(f'{RETRY_PREFIX}{queue}.{length}s')}", headers


class ActiveMQ(Dialect):
    """ActiveMQ Classic, which keeps the messages of a topic for several workers only when the topic is virtual."""

    name = "ActiveMQ"
    nack_keeps = True

    def source(self, destination: str, queue: str) -> str:
        """Return the queue's name; that of a virtual topic is ``Consumer.QUEUE.TOPIC``, a dot in QUEUE being %2E."""
        topic = _after(destination, _TOPIC)
        if topic is None:
            return super().source(destination, queue)
        if not topic.startswith(_VIRTUAL_TOPIC):
            raise ConfigurationError(
                f"ActiveMQ keeps what is sent to {destination} for nobody who is away, and for one worker only. "
                f"Publish to {_TOPIC}{_VIRTUAL_TOPIC}{topic} and subscribe to that; or, where the broker's own "
                f"configuration makes this topic virtual, subscribe to {_QUEUE}Consumer.{_one_segment(queue)}.{topic}."
            )
        return f"Consumer.{_one_segment(queue)}.{topic}"

    def subscribe_destination(self, destination: str, queue: str) -> str:
        """Return the queue that a virtual topic fills for these workers, or the destination as it is."""
        if _after(destination, _TOPIC) is None:
            return destination
        return self.queue(self.source(destination, queue))

    def subscribe_headers(self, destination: str, queue: str, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the prefetch in ActiveMQ's words, at least 1, and an exclusive consumer for an exclusive queue."""
        translated = {"activemq.prefetchSize": str(max(1, _prefetch(headers)))}
        if _is_true(headers.get("exclusive")):
            translated["activemq.exclusive"] = "true"
        return translated | _without_arguments(headers)

    def browse_headers(self, count: int) -> Mapping[str, str]:
        """Return the prefetch in ActiveMQ's words."""
        return {"activemq.prefetchSize": str(count)}

    def delayed(
        self, queue: str, seconds: float, queue_headers: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, str]]:
        """Return the queue and the scheduler's header. The broker needs ``schedulerSupport="true"``: else no delay."""
        return self.queue(queue), {"AMQ_SCHEDULED_DELAY": str(max(1, round(seconds * 1000)))}


class Artemis(Dialect):
    """ActiveMQ Artemis, where a topic's queue is addressed as ``ADDRESS::QUEUE`` and a NACK destroys the message."""

    name = "Artemis"

    def queue(self, name: str) -> str:
        """Return the destination of a queue; one that ``source`` made of a topic is a destination already."""
        return name if "::" in name else super().queue(name)

    def source(self, destination: str, queue: str) -> str:
        """Return ``/topic/TOPIC::QUEUE``: a durable queue of that name, shared by its workers."""
        if _after(destination, _TOPIC) is None or "::" in destination:
            return super().source(destination, queue)
        return f"{destination}::{queue}"

    def subscribe_destination(self, destination: str, queue: str) -> str:
        """Return the queue on the topic's address, or the destination as it is."""
        return destination if _after(destination, _TOPIC) is None else self.source(destination, queue)

    def subscribe_headers(self, destination: str, queue: str, headers: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the routing type and the prefetch, which Artemis counts in bytes; 1 is exact, others about right.

        ``consumer-window-size`` in DEFAULT_STOMP_QUEUE_HEADERS wins.
        """
        prefetch = _prefetch(headers)
        window = 0 if prefetch == 1 else prefetch * _BYTES_A_MESSAGE
        kind = _routing_type(destination)
        translated = {"consumer-window-size": str(window)} | ({"subscription-type": kind} if kind else {})
        return translated | _without_arguments(headers)

    def browse_headers(self, count: int) -> Mapping[str, str]:
        """Return no bound: Artemis counts bytes, and would stop short of ``count`` messages that are long."""
        return {"consumer-window-size": "-1", "subscription-type": "ANYCAST"}

    def send_headers(self, destination: str) -> Mapping[str, str]:
        """Return the routing type: without it the broker discards what goes to a queue that nobody has read yet."""
        kind = _routing_type(destination)
        return {"destination-type": kind} if kind else {}

    def delayed(
        self, queue: str, seconds: float, queue_headers: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, str]]:
        """Return the queue and the delay, as ActiveMQ spells it: Artemis reads its own spelling as text only."""
        destination = self.queue(queue)
        delay = {"AMQ_SCHEDULED_DELAY": str(max(1, round(seconds * 1000)))}
        return destination, {**self.send_headers(destination), **delay}


def dialect_of(server_header: str | None) -> Dialect:
    """Return the dialect of a broker by the ``server`` header of its CONNECTED; a plain one when it is not known."""
    server = (server_header or "").lower()
    if server.startswith("rabbitmq"):
        return RabbitMQ()
    if "artemis" in server:
        return Artemis()
    return ActiveMQ() if server.startswith("activemq") else Dialect()


def _after(destination: str, prefix: str) -> str | None:
    return destination.removeprefix(prefix) if destination.startswith(prefix) else None


def _escaped(name: str) -> str:
    """RabbitMQ splits destinations at "/" and decodes "%2F" only."""
    return name.replace("/", "%2F")


def _one_segment(queue: str) -> str:
    """ActiveMQ finds the topic behind the second dot of a consumer queue's name."""
    return queue.replace(".", "%2E")


def _routing_type(destination: str) -> str | None:
    if destination.startswith(_TOPIC):
        return "MULTICAST"
    return "ANYCAST" if destination.startswith(_QUEUE) else None


def _without_arguments(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what declares a queue on RabbitMQ, and keep what the project adds of its own."""
    return {
        name: value for name, value in headers.items() if name not in _RABBITMQ_ARGUMENTS and not name.startswith("x-")
    }


def _prefetch(headers: Mapping[str, Any]) -> int:
    try:
        return max(1, int(headers.get("prefetch-count", 1)))
    except (TypeError, ValueError):
        return 1


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
