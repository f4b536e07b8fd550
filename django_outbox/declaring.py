"""Looks for queues and declares them in the one way that STOMP has, by subscribing, and takes no message doing so.

Each question has a connection of its own, since the broker answers no by closing it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django_outbox.exceptions import SubscriptionRefused
from django_outbox.link import Link

if TYPE_CHECKING:
    from collections.abc import Mapping

_DECLARE_ATTEMPTS = 5
_DECLARE_PAUSE_SECONDS = 0.2
# It goes with its only consumer; where this user may declare but not read, and so has no consumer, by itself.
_PASSING = {
    "durable": "false",
    "auto-delete": "true",
    "exclusive": "false",
    "x-queue-type": "classic",
    "x-expires": "10000",
}


def declare_without_taking(destination: str, headers: Mapping[str, Any]) -> None:
    """Declare a queue that may hold messages, so that each of them stays there.

    STOMP declares a queue only by subscribing to it. The broker may hand over a message then; it goes back to its
    place when the connection parts without settling, but a quorum queue counts that and drops a message for which it
    happened too often. So a queue that is there already is left alone. Raises what ``Link.open`` and
    ``Link.subscribe`` raise.
    """
    if _exists(destination, headers):
        return
    for attempt in range(1, _DECLARE_ATTEMPTS + 1):
        try:
            subscribe_and_part(destination, headers)
        except SubscriptionRefused:
            # It may be the passing queue of another subscriber that looks at this very moment.
            if attempt == _DECLARE_ATTEMPTS:
                raise
            time.sleep(_DECLARE_PAUSE_SECONDS)
        else:
            return


def queue_is_there(name: str) -> bool:
    """Tell whether RabbitMQ has a queue, by its own name; looks without taking anything where it may.

    Raises ``BrokerUnavailable``, ``BrokerRefused``, ``ConfigurationError``.
    """
    escaped = name.replace("/", "%2F")
    if _exists(f"/queue/{escaped}", {"durable": "true"}):
        return True
    # A queue that is not durable, or may not be declared by this user; or the one made to ask, which is going.
    for attempt in range(1, _DECLARE_ATTEMPTS + 1):
        if not queue_answers(f"/amq/queue/{escaped}"):
            return False
        if attempt < _DECLARE_ATTEMPTS:
            time.sleep(_DECLARE_PAUSE_SECONDS)
    return True


def queue_answers(destination: str) -> bool:
    """Tell whether RabbitMQ has the queue of an ``/amq/queue/`` destination; at most one message goes out and back.

    Raises ``BrokerUnavailable``, ``BrokerRefused``, ``ConfigurationError``.
    """
    try:
        subscribe_and_part(destination, {"prefetch-count": "1"})
    except SubscriptionRefused as error:
        return "NOT_FOUND" not in str(error)
    return True


def _exists(destination: str, headers: Mapping[str, Any]) -> bool:
    """Tell whether a durable queue is there, without becoming its consumer.

    Asks for one that is not durable: RabbitMQ refuses that when the queue is there, naming the difference, and
    otherwise makes a queue that goes with this connection. Any other answer tells nothing.
    """
    if str(headers.get("durable")).lower() != "true":
        return False
    try:
        subscribe_and_part(destination, {**_PASSING, "prefetch-count": "1"})
    except SubscriptionRefused as error:
        return "inequivalent arg 'durable'" in str(error)
    return False


def subscribe_and_part(destination: str, headers: Mapping[str, Any]) -> None:
    """Subscribe on a connection of its own and part without settling anything.

    Raises what ``Link.open`` and ``Link.subscribe`` raise.
    """
    link = Link(deliver=lambda _delivery: None)
    link.open()
    try:
        link.subscribe(destination, headers)
    finally:
        link.close()
