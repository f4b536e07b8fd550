"""What is learnt from the broker's refusal to declare a queue again."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_outbox.subscription import Subscription
from django_outbox.transport.declared import DeclaredQueues

REFUSAL = (
    "precondition_failed: PRECONDITION_FAILED - inequivalent arg 'x-dead-letter-exchange' for queue 'orders/eu' in "
    "vhost '/': received none but current is the value '' of type 'longstr'"
)


@pytest.fixture
def declared() -> DeclaredQueues:
    """One refusal was seen."""
    queues = DeclaredQueues()
    queues.learn(REFUSAL)
    return queues


@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_QUEUE_HEADERS": {"x-queue-type": "quorum"}})
def test_a_refused_queue_is_declared_as_its_subscriber_does(declared: DeclaredQueues) -> None:
    subscriber = Subscription.create(print, "/queue/orders%2Feu", "orders/eu").headers()
    own = {"x-queue-name", "prefetch-count"}
    assert declared.headers("/queue/orders%2Feu") == {k: v for k, v in subscriber.items() if k not in own}


@pytest.mark.parametrize("destination", ["/topic/orders/eu", "/queue/orders", "/amq/queue/orders%2Feu"])
def test_every_other_destination_is_left_alone(declared: DeclaredQueues, destination: str) -> None:
    assert declared.headers(destination) == {}


def test_other_words_teach_nothing() -> None:
    queues = DeclaredQueues()
    queues.learn("access_refused: access to queue 'orders' refused")
    assert queues.headers("/queue/orders") == {}
