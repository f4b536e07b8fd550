"""``run_relay()`` and ``deliver()``: take messages from the outbox to a callback, at once and in this thread.

The relay and the processor are the real ones; only the broker is ``MemoryBroker``, and nobody waits. So a test covers
all that happens in production between a saved model and the callback's effect, also within a transaction that is rolled
back at its end.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db import DEFAULT_DB_ALIAS

from django_outbox.choices import StatusChoice
from django_outbox.groups import processor_of
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.outbox import published_model
from django_outbox.processing import Job, Outcome
from django_outbox.relay import Relay, RelayOptions
from django_outbox.subscription import Subscription
from django_outbox.transport.memory import MemoryBroker, MemoryTransport
from django_outbox.transport.traced import TracedTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.processing import Processor
    from django_outbox.transport.base import Outgoing
    from django_outbox.transport.queues import Taken

# More batches than any test has; a relay that never comes to rest is a bug, not a reason to hang.
_MOST_BATCHES = 10_000


class _NoTime(StopSignal):
    """Sleeps no time at all, and is never set."""

    def wait(self, seconds: float) -> bool:  # noqa: ARG002
        return False


@dataclass(frozen=True)
class Relayed:
    """What a run of the relay did: the messages the broker confirmed, and the errors of the rows that failed."""

    messages: list[Outgoing] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.messages)


@dataclass(frozen=True)
class Delivered:
    """What became of the messages of a queue: how each ended (``outcomes``: ack, nack, error, duplicate), in order.

    ``errors`` are the exceptions that the callback raised.
    """

    outcomes: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.outcomes)


def run_relay(broker: MemoryBroker | None = None, *, using: str = DEFAULT_DB_ALIAS) -> Relayed:
    """Publish what is due in the outbox of the database ``using``, until nothing is.

    Rows that the broker refuses are tried as often as may be without waiting, and rest then as in production:
    ``errors`` maps their ids to the broker's words. Raises ``BrokerUnavailable`` when the broker is down.
    """
    broker = MemoryBroker(remembers=True) if broker is None else broker
    transport = TracedTransport(MemoryTransport(broker))
    relay = Relay(transport, _NoTime(), Health("publisher"), RelayOptions.from_settings(using))
    known = len(broker.messages)
    for _ in range(_MOST_BATCHES):
        if not relay.transport.is_connected():
            relay.connect()
        if relay.publish_batch() == 0:
            break
    rows = published_model()._base_manager.using(using)
    failed = rows.exclude(status=StatusChoice.SUCCEEDED).exclude(last_error=None)
    errors = {str(pk): str(error) for pk, error in failed.values_list("pk", "last_error")}
    return Relayed(messages=broker.messages[known:], errors=errors)


def deliver(
    callback: Callable[..., object],
    destination: str,
    queue: str | None = None,
    *,
    broker: MemoryBroker | None = None,
    raise_errors: bool = True,
    using: str = DEFAULT_DB_ALIAS,
) -> Delivered:
    """Publish what is due, then run ``callback`` for each message that waits in ``queue``.

    The queue is declared and bound to ``destination`` as ``manage.py subscribe`` does; its name defaults to the
    destination's last segment. A callback marked with ``@batch_callback`` gets batches. Without a ``broker`` a new one
    is made; give one to several calls to let several queues get the same messages. A message is settled as in
    production. What the callback raises is raised here once every message is settled; with ``raise_errors=False`` it is
    in ``errors``, and the messages are in ``broker.dead_letters(queue)``.
    """
    broker = MemoryBroker(remembers=True) if broker is None else broker
    delivered = Delivered()
    subscription = Subscription.create(_noting(callback, delivered.errors), destination, queue)
    _subscribe(broker, subscription)
    run_relay(broker, using=using)
    processor = processor_of(subscription, pause=lambda _seconds: False)
    while batch := _take(broker, subscription):
        _settle(broker, batch, processor, delivered)
    if raise_errors:
        _raise_first(delivered)
    return delivered


def _subscribe(broker: MemoryBroker, subscription: Subscription) -> None:
    broker.declare(subscription.dead_letter_queue, subscription.dead_letter_headers())
    broker.declare(subscription.queue, subscription.headers())
    broker.bind(subscription.queue, subscription.destination)


def _take(broker: MemoryBroker, subscription: Subscription) -> list[Taken]:
    most = subscription.batching.most if subscription.batching else subscription.group
    waiting = (broker.get(subscription.queue) for _ in range(most))
    return [taken for taken in waiting if taken is not None]


def _settle(broker: MemoryBroker, batch: list[Taken], processor: Processor, delivered: Delivered) -> None:
    endings = processor.handle_many([Job.of(taken.message.body, _headers(taken)) for taken in batch])
    for taken, ending in zip(batch, endings, strict=True):
        delivered.outcomes.append(ending.outcome.value)
        if ending.outcome.is_done:
            broker.ack(taken)
        else:
            broker.nack(taken)


def _headers(taken: Taken) -> dict[str, str]:
    message_id = f"T_tests@@tests@@{taken.tag}"
    headers = {**taken.message.headers, "message-id": message_id, "ack": message_id}
    return {**headers, "redelivered": "true"} if taken.message.redelivered else headers


def _noting(callback: Callable[..., object], errors: list[BaseException]) -> Callable[..., object]:
    @functools.wraps(callback)
    def noted(*arguments: Any) -> object:
        try:
            return callback(*arguments)
        except BaseException as error:
            errors.append(error)
            raise

    return noted


def _raise_first(delivered: Delivered) -> None:
    if delivered.errors and Outcome.ERROR.value in delivered.outcomes:
        raise delivered.errors[0]
    if Outcome.ERROR.value in delivered.outcomes:
        raise AssertionError(
            "The callback came back without payload.save() or payload.nack(), or its transaction was rolled back: "
            "the message went to the dead letters."
        )
