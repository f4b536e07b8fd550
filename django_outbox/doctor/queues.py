"""The doctor on destinations and queues: may this user publish there, are the queues what they would be declared as?

Asked with a SEND that RabbitMQ refuses last of all, for an expiration that is no number: by then it has declared the
queue or found it to be another, and has checked the exchange and the rights. So nothing is ever sent. That this broker
does refuse is first tried where a message would reach nobody; where it does not, nothing is asked.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from stomp.exception import StompException

from django_outbox import decorators, settings
from django_outbox.declaring import queue_is_there, subscribe_and_part
from django_outbox.dialects import RETRY_PREFIX, RabbitMQ
from django_outbox.doctor.broker import OWN_PREFIX, Ear
from django_outbox.doctor.findings import Level, fail, ok, sentence, warn
from django_outbox.exceptions import BrokerError, BrokerUnavailable, ConfigurationError, SubscriptionRefused
from django_outbox.subscription import Subscription
from django_outbox.transport.stomp import open_connection
from django_outbox.waiting import NET_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from django_outbox.dialects import Dialect
    from django_outbox.doctor.findings import Finding

_REFUSED_FOR_NOTHING = "invalid expiration"
_NO_RIGHTS = "refused"
_OTHER_ARGUMENTS = (
    "A queue's arguments cannot be changed, and nobody can subscribe with others. Write what it has into "
    "DEFAULT_STOMP_QUEUE_HEADERS; or subscribe under another queue name; or stop its subscribers, let it run empty, "
    "delete it, and let the next subscriber make it anew."
)


def examine(destinations: Sequence[str], subscriptions: Sequence[Subscription]) -> Iterator[Finding]:
    """Yield what is found of what the project publishes to and of these subscriptions' queues; on RabbitMQ only."""
    wanted = sorted({*destinations, *_of_decorators()})
    if not wanted and not subscriptions:
        return
    try:
        problem = _why_not_to_ask()
        if problem is not None:
            yield problem
            return
        for destination in wanted:
            yield _destination(destination)
        for subscription in subscriptions:
            yield from _queues(subscription)
    except (BrokerError, ConfigurationError) as error:
        yield fail("queues", sentence(error), "See the findings on the broker above.")


def examine_subscription(subscription: Subscription) -> Iterator[Finding]:
    """Yield what is found of one subscription's queues; on RabbitMQ only."""
    try:
        problem = _why_not_to_ask()
        if problem is not None:
            yield problem
            return
        yield from _queues(subscription)
    except BrokerUnavailable as error:
        yield warn("queues", sentence(error), "The worker will wait for the broker.")
    except (BrokerError, ConfigurationError) as error:
        yield fail("queues", sentence(error), "")


def unattended(destination: str, queue: str | None) -> Subscription:
    """Return a subscription to look at only: its queues are declared the same whatever the callback is."""
    return Subscription.create(lambda _payload: None, destination, queue)


def _of_decorators() -> set[str]:
    return {
        f"{config.destination}.{config.version}" if config.version else config.destination
        for _model, configs in decorators.registry
        for config in configs
    }


def _why_not_to_ask() -> Finding | None:
    """Return what is to be said instead where a question would be a message, None where it is not."""
    silent = ok("queues", "This broker does not tell about destinations and queues without a message being sent.")
    if not _dialect().declares_queues:
        return silent
    # No queue has that name, and no binding that key.
    own = f"{OWN_PREFIX}{uuid.uuid4()}"
    answers = [_ask(f"{folder}/{own}") for folder in ("/amq/queue", "/topic")]
    if any(_REFUSED_FOR_NOTHING in answer for answer in answers):
        return None
    if all(_NO_RIGHTS in answer.lower() for answer in answers):
        advice = "Publishers need it; a user for subscribers alone does not."
        return warn("queues", "This user may write neither to the default exchange nor to amq.topic.", advice)
    return silent


def _dialect() -> Dialect:
    opened = open_connection("doctor")
    opened.close(timeout=1.0)
    return opened.dialect


def _destination(destination: str) -> Finding:
    name = f"publish to {destination}"
    # A SEND to /queue/ would make the queue.
    answer = _ask(
        destination.replace("/queue/", "/amq/queue/", 1) if destination.startswith("/queue/") else destination
    )
    if _REFUSED_FOR_NOTHING in answer:
        return ok(name, "This user may.")
    lowered = answer.lower()
    if _NO_RIGHTS in lowered:
        return fail(name, sentence(answer), "Grant the user the right to write to the exchange and topic.")
    if "not_found" in lowered or "no exchange" in lowered:
        return fail(name, sentence(answer), "Create the exchange, or correct the destination.")
    return fail(name, sentence(answer), "Write it like /topic/orders.v1, /queue/orders or /exchange/NAME/KEY.")


def _queues(subscription: Subscription) -> Iterator[Finding]:
    # Equal names and headers to those of a worker's SUBSCRIBE; a queue of a /queue/ destination is named by that.
    named = subscription.destination.removeprefix("/queue/")
    own = named if subscription.destination.startswith("/queue/") else subscription.queue
    yield _queue(own, subscription.headers(), "Its subscriber makes it; until then messages to its topic are dropped.")
    missing = "Its subscriber makes it; until then RabbitMQ drops what the subscriber refuses."
    yield _queue(subscription.dead_letter_queue, subscription.dead_letter_headers(), missing)
    if settings.CONSUMER_RETRY_DELAYS and not subscription.is_passing:
        yield _waiting_queues(subscription, own)


def _waiting_queues(subscription: Subscription, queue: str) -> Finding:
    """Look at the queues in which failed messages wait; the right to read them is asked of one that nobody has."""
    name = f"queues {RETRY_PREFIX}{queue}.*"
    refusal = _why_not_to_read(f"{RETRY_PREFIX}{queue}.{OWN_PREFIX}{uuid.uuid4()}")
    if refusal is not None:
        late = f"Retries would come up to {NET_SECONDS / 3600:g} hour late: {refusal}"
        return warn(name, late, f"Grant the user configure, write and read on {RETRY_PREFIX}*.")
    for destination, headers in RabbitMQ().waiting_queues(queue, subscription.queue_headers).items():
        waiting = destination.removeprefix("/queue/").replace("%2F", "/")
        if queue_is_there(waiting):
            found = _queue(waiting, headers, "")
            if found.level is not Level.OK:
                return found
    return ok(name, "Failed messages can wait there, and this user may read them.")


def _why_not_to_read(queue: str) -> str | None:
    """Return the broker's words when this user may not read a queue of that name; the broker looks at rights first."""
    try:
        subscribe_and_part(RabbitMQ().queue(queue), {"prefetch-count": "1"})
    except SubscriptionRefused as error:
        return None if "NOT_FOUND" in str(error) else sentence(error)
    return None


def _queue(queue: str, headers: Mapping[str, Any], advice: str) -> Finding:
    name = f"queue {queue}"
    if not queue_is_there(queue):
        return warn(name, "It does not exist.", advice)
    declaration = {key: value for key, value in headers.items() if key not in {"x-queue-name", "prefetch-count"}}
    answer = _ask(f"/queue/{queue.replace('/', '%2F')}", declaration)
    if _REFUSED_FOR_NOTHING in answer:
        return ok(name, "It exists with the arguments that a subscriber declares.")
    if "inequivalent arg" in answer:
        return fail(name, f"It exists with other arguments: {sentence(answer)}", _OTHER_ARGUMENTS)
    if _NO_RIGHTS in answer.lower():
        advice = "Grant the user configure, write and read on the queue, its dead letter queue and the exchange."
        return fail(name, sentence(answer), advice)
    return fail(name, sentence(answer), "Look at the broker's log.")


def _ask(destination: str, declaration: Mapping[str, Any] | None = None) -> str:
    """Return the broker's words about a SEND that it must refuse; a connection each, as it closes them."""
    ear = Ear()
    opened = open_connection("doctor", listener=ear)
    try:
        headers = {**(declaration or {}), "expiration": "outbox-doctor", "receipt": "asked"}
        try:
            opened.connection.send(destination, "", headers=headers)
        except (StompException, OSError, AttributeError) as error:
            return sentence(error)
        kind, _headers, words = ear.next(time.monotonic() + settings.RECEIPT_TIMEOUT)
        return "it took what it should refuse" if kind == "RECEIPT" else str(words)
    finally:
        opened.close(timeout=1.0)
