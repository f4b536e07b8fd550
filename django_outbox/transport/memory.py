"""A broker within the process, for tests: queues, topics, dead letters, and the ways in which real brokers fail.

``MemoryTransport`` publishes to it, ``django_outbox.testing`` consumes from it. It is held to the same suite as the
real brokers (tests/contract). Faults are set on the broker, not on a connection, so they meet whoever connects next,
too. Safe to use from several threads.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.transport import addressing
from django_outbox.transport.base import SendReport, Unsettled
from django_outbox.transport.frames import unsendable
from django_outbox.transport.queues import MemoryQueue, StoredMessage, Taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_outbox.transport.base import Outgoing, Patience
    from django_outbox.transport.queues import Consumer

HOST = "memory:0"

_LOST = "the connection to the broker was lost"
# What is too old later than that comes out when somebody looks: no test waits so long, and each timer is a thread.
_LONGEST_TIMER_SECONDS = 600


class MemoryRefusedError(Exception):
    """The broker in memory says no to one frame; the text is what it says."""


class MemoryFatalError(Exception):
    """The broker in memory ends the connection because of one frame; the text is what it says before, if anything."""


@dataclass
class MemoryBroker:
    """What has arrived, and how the broker behaves.

    ``messages`` is everything it confirmed, in order. ``refuses``: destinations it says no to, message by message.
    ``dies_of``: destinations that cost the connection, without a word about which message it was. ``ignores``:
    destinations it never answers about. ``lose_after``: how many more messages it takes before the connection breaks
    once. ``is_blocked``: memory has run out, it takes one message of each connection and then reads no more.
    ``frame_limit``: the longest body in bytes; a longer one costs the connection. ``remembers``: a queue that is
    bound to a topic late gets what was published there before, which no real broker does and most tests want.
    """

    messages: list[Outgoing] = field(default_factory=list)
    is_down: bool = False
    is_blocked: bool = False
    refuses_login: bool = False
    refuses: set[str] = field(default_factory=set)
    dies_of: set[str] = field(default_factory=set)
    ignores: set[str] = field(default_factory=set)
    lose_after: int | None = None
    connects: int = 0
    frame_limit: int | None = None
    remembers: bool = False
    queues: dict[str, MemoryQueue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._bindings: list[tuple[str, str, str]] = []
        self._history: list[tuple[addressing.Address, StoredMessage]] = []
        self._ahead = 0.0

    # --- what a test asks

    def bodies(self, destination: str) -> list[str]:
        """Return what arrived at a destination, in order."""
        return [str(message.body) for message in self.messages if message.destination == destination]

    def waiting(self, queue: str) -> list[StoredMessage]:
        """Return what waits in a queue, oldest first; empty for a queue that does not exist."""
        with self._lock:
            self._expire()
            return list(self.queues[queue].ready) if queue in self.queues else []

    def dead_letters(self, queue: str) -> list[StoredMessage]:
        """Return the dead letters of a queue, oldest first."""
        return self.waiting(f"DLQ.{queue}")

    def advance(self, seconds: float) -> None:
        """Let time pass in the queues: what has been in one for longer than its ``x-message-ttl`` drops out.

        A delayed retry does so an hour after it is due. Before that a running subscriber brings it back, by the clock.
        """
        with self._lock:
            self._ahead += seconds
            self._expire()

    # --- queues

    def declare(self, name: str, headers: Mapping[str, Any] | None = None) -> MemoryQueue:
        """Return the queue of that name, made now if need be.

        Raises ``MemoryFatalError`` when it is another one, or none that can be.
        """
        arguments = addressing.arguments_of(headers or {})
        with self._lock:
            queue = self.queues.get(name)
            if queue is None:
                if (invalid := addressing.invalid(name, arguments)) is not None:
                    raise MemoryFatalError(invalid)
                queue = self.queues[name] = MemoryQueue(name, arguments)
            problem = addressing.difference(name, arguments, queue.arguments)
            if problem is not None:
                raise MemoryFatalError(problem)
            return queue

    def bind(self, queue: str, destination: str) -> None:
        """Let a queue take what is sent to a topic or an exchange; a queue's own destination needs no binding."""
        address = _address(destination)
        with self._lock:
            binding = (queue, address.exchange, address.key)
            if address.queue is not None or binding in self._bindings:
                return
            self._bindings.append(binding)
            if self.remembers:
                for sent_to, message in self._history:
                    if _takes(binding, sent_to):
                        self._put(queue, message)

    def delete(self, name: str) -> None:
        """Remove a queue with its messages and bindings."""
        with self._lock:
            self.queues.pop(name, None)
            self._bindings = [binding for binding in self._bindings if binding[0] != name]

    # --- messages

    def publish(self, sent: Outgoing) -> None:
        """Take a message to its queues. Raises ``MemoryRefusedError`` or ``MemoryFatalError``."""
        with self._lock:
            self._let_faults_act(sent)
            address = _address(sent.destination)
            message = StoredMessage(sent.body, {**sent.headers, "destination": sent.destination})
            if address.queue is not None:
                if address.declares:
                    self.declare(address.queue, sent.headers)
                self._put(address.queue, message)
            else:
                self._publish_to_exchange(address, message)
            self.messages.append(sent)
            self.lose_after = None if self.lose_after is None else self.lose_after - 1

    def get(self, queue: str, owner: Any = None) -> Taken | None:
        """Hand out the oldest message of a queue, None when nothing waits there."""
        with self._lock:
            self._expire()
            found = self.queues.get(queue)
            return found.take(owner) if found is not None and found.ready else None

    def ack(self, taken: Taken) -> None:
        """Forget a message that was handed out. Raises ``MemoryFatalError`` when it is not held any more."""
        with self._lock:
            self._let_go(taken)
            self._hand_out(taken.queue)

    def nack(self, taken: Taken, *, requeue: bool = False) -> None:
        """Refuse a message: it goes back to its place, or to the dead letters. Raises as ``ack`` does."""
        with self._lock:
            if requeue and taken.queue in self.queues and taken.tag in self.queues[taken.queue].held:
                self.queues[taken.queue].give_back([taken.tag])
            else:
                queue = self._let_go(taken)
                self._bury(queue, taken.message)
            self._hand_out(taken.queue)

    # --- consumers that messages are pushed to

    def add_consumer(self, queue: str, consumer: Consumer) -> None:
        """Push what is in a queue, and what comes to it, to a consumer."""
        with self._lock:
            self.queues[queue].consumers.append(consumer)
            self._hand_out(queue)

    def remove_consumer(self, consumer: Consumer) -> None:
        """Push nothing more, and give back what the consumer did not settle."""
        with self._lock:
            for queue in list(self.queues.values()):
                queue.give_back([tag for tag, taken in queue.held.items() if taken.owner is consumer])
                if consumer in queue.consumers:
                    queue.consumers.remove(consumer)
                    if queue.is_passing and not queue.consumers:
                        self.delete(queue.name)
                        continue
                self._hand_out(queue.name)

    # --- inside

    def _let_faults_act(self, sent: Outgoing) -> None:
        if self.lose_after == 0 or sent.destination in self.dies_of:
            self.lose_after = None
            raise MemoryFatalError
        body = sent.body if isinstance(sent.body, bytes) else sent.body.encode(errors="surrogatepass")
        if self.frame_limit is not None and len(body) > self.frame_limit:
            raise MemoryFatalError("the frame is longer than the broker takes")
        if sent.destination in self.refuses:
            raise MemoryRefusedError("refused by the broker in memory")

    def _publish_to_exchange(self, address: addressing.Address, message: StoredMessage) -> None:
        is_bound = any(exchange == address.exchange for _, exchange, _ in self._bindings)
        if not is_bound and not addressing.is_known_exchange(address.exchange):
            raise MemoryFatalError(f"NOT_FOUND - no exchange '{address.exchange}' in vhost '/'")
        if self.remembers:
            self._history.append((address, message))
        # A queue takes one copy, however many of its bindings match.
        for name in dict.fromkeys(binding[0] for binding in self._bindings if _takes(binding, address)):
            self._put(name, message)

    def _put(self, name: str, message: StoredMessage) -> None:
        """Add a message to a queue; to one that does not exist it is lost, as on a real broker."""
        queue = self.queues.get(name)
        if queue is None:
            return
        seconds = queue.lifetime()
        due = None if seconds is None else self._now() + seconds
        queue.ready.append(StoredMessage(message.body, message.headers, due=due))
        if seconds is not None and seconds <= _LONGEST_TIMER_SECONDS and self._has_consumers():
            self._look_again_in(seconds)
        self._hand_out(name)

    def _hand_out(self, name: str) -> None:
        """Push to consumers what they may take."""
        queue = self.queues.get(name)
        while queue is not None and queue.ready and (consumer := queue.next_consumer()) is not None:
            taken = queue.take(consumer)
            if consumer.auto:
                del queue.held[taken.tag]
            consumer.deliver(taken)

    def _let_go(self, taken: Taken) -> MemoryQueue:
        queue = self.queues.get(taken.queue)
        if queue is None or queue.held.pop(taken.tag, None) is None:
            raise MemoryFatalError(f"PRECONDITION_FAILED - unknown delivery tag {taken.tag}")
        return queue

    def _bury(self, queue: MemoryQueue, message: StoredMessage) -> None:
        key = queue.dead_letter_key
        if key is not None:
            self._put(key, StoredMessage(message.body, {**message.headers, "destination": f"/queue/{key}"}))

    def _expire(self) -> None:
        for queue in list(self.queues.values()):
            for message in queue.expired(self._now()):
                self._bury(queue, message)

    def _has_consumers(self) -> bool:
        return any(queue.consumers for queue in self.queues.values())

    def _look_again_in(self, seconds: float) -> None:
        timer = threading.Timer(seconds, self.advance, args=(0,))
        timer.daemon = True
        timer.start()

    def _now(self) -> float:
        return time.monotonic() + self._ahead


class MemoryTransport:
    """A connection to a ``MemoryBroker`` that publishes."""

    host = HOST

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self._connected = False
        self._is_stalled = False

    def is_connected(self) -> bool:
        """Tell whether the connection stands."""
        return self._connected and not self.broker.is_down

    def connect(self) -> None:
        """Connect, unless the broker is down or refuses the login."""
        if self.broker.is_down:
            raise BrokerUnavailable("The broker in memory is down.")
        if self.broker.refuses_login:
            raise BrokerRefused("The broker in memory refuses the login.")
        self.broker.connects += 1
        self._connected = True
        self._is_stalled = False

    def is_answered(self, patience: Patience) -> bool:
        """Tell whether the broker reads: not while it is blocked and has noticed that we send."""
        patience.tick()
        return self.is_connected() and not (self.broker.is_blocked and self._is_stalled)

    def send(
        self, messages: Sequence[Outgoing], patience: Patience, meanwhile: Callable[[], None] | None = None
    ) -> SendReport:
        """Take the messages one after the other, as far as the broker's faults let them."""
        report = SendReport()
        stuck: set[str | None] = set()
        for message in messages:
            if report.unsettled is Unsettled.CONNECTION_LOST or message.lane in stuck:
                report.unsent.add(message.key)
                continue
            self._take(message, report)
            if message.lane is not None and message.key not in report.confirmed:
                stuck.add(message.lane)
        patience.tick()
        if meanwhile is not None:
            meanwhile()
        if report.unsettled is not None:
            self._connected = False
        return report

    def close(self) -> None:
        """Close the connection."""
        self._connected = False

    def _take(self, message: Outgoing, report: SendReport) -> None:
        problem = unsendable(message.headers, message.destination)
        if problem is not None:
            report.refused[message.key] = problem
        elif not self.is_connected():
            report.unsettled, report.detail = Unsettled.CONNECTION_LOST, _LOST
        elif self.broker.is_blocked and self._is_stalled:
            report.unsettled, report.detail, report.blocked = Unsettled.TIMEOUT, "the broker reads nothing", True
        elif message.destination in self.broker.ignores:
            report.unsettled, report.detail = Unsettled.TIMEOUT, "the broker did not confirm in time"
        else:
            # Like RabbitMQ, which stops reading from a connection with the first message on it.
            self._is_stalled = self.broker.is_blocked
            self._publish(message, report)

    def _publish(self, message: Outgoing, report: SendReport) -> None:
        try:
            self.broker.publish(message)
        except MemoryFatalError as error:
            report.unsettled, report.detail = Unsettled.CONNECTION_LOST, str(error) or _LOST
        except MemoryRefusedError as error:
            report.refused[message.key] = str(error)
        else:
            report.confirmed[message.key] = 0.0


def _address(destination: str) -> addressing.Address:
    try:
        return addressing.address_of(destination)
    except addressing.UnknownDestinationError as error:
        raise MemoryRefusedError(str(error)) from error


def _takes(binding: tuple[str, str, str], address: addressing.Address) -> bool:
    _, exchange, pattern = binding
    if exchange != address.exchange or address.queue is not None:
        return False
    if exchange == "amq.topic":
        return addressing.topic_matches(pattern, address.key)
    return pattern == address.key
