"""What a subscription declares."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from django_outbox import settings
from django_outbox.exceptions import ConfigurationError
from django_outbox.subscription import Subscription


def _subscription(destination: str = "/topic/orders.v1", queue: str | None = "billing", **more: Any) -> Subscription:
    return Subscription.create(print, destination, queue, **more)


def test_the_queue_is_declared_with_the_headers_of_the_former_library() -> None:
    # Recorded from django-outbox-pattern 3.2.1; the broker compares the text of each.
    assert {name: str(value) for name, value in _subscription().headers().items()} == {
        "durable": "true",
        "auto-delete": "false",
        "prefetch-count": "1",
        "exclusive": "False",
        "x-queue-name": "billing",
        "x-dead-letter-routing-key": "DLQ.billing",
        "x-dead-letter-exchange": "",
    }


def test_the_dead_letter_queue_is_declared_with_the_headers_of_the_former_library() -> None:
    subscription = _subscription()
    assert subscription.dead_letter_destination == "DLQ.billing"
    assert {name: str(value) for name, value in subscription.dead_letter_headers().items()} == {
        "durable": "true",
        "auto-delete": "false",
        "prefetch-count": "1",
        "exclusive": "False",
        "x-queue-name": "DLQ.billing",
        "x-dead-letter-routing-key": "DLQ.DLQ.DLQ.billing",
        "x-dead-letter-exchange": "",
    }


@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true", "x-max-length": "5"}})
def test_the_projects_queue_headers_reach_both_queues() -> None:
    subscription = _subscription()
    assert subscription.headers()["x-max-length"] == "5"
    assert subscription.dead_letter_headers()["x-max-length"] == "5"


def test_declaring_one_queue_leaves_no_trace_on_the_next() -> None:
    project = {"durable": "true", "prefetch-count": "1"}
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_QUEUE_HEADERS": project}):
        first, second = _subscription(queue="first"), _subscription(queue="second")
        first.headers()["x-extra"] = "1"
        first.dead_letter_headers()
        assert second.headers()["x-queue-name"] == "second"
        assert "x-extra" not in first.headers()
    assert project == {"durable": "true", "prefetch-count": "1"}


@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_EXCLUSIVE_QUEUE": True})
def test_an_exclusive_queue_has_a_dead_letter_queue_that_stays() -> None:
    subscription = _subscription()
    assert subscription.headers()["exclusive"] is True
    assert subscription.dead_letter_headers()["exclusive"] is False


@pytest.mark.parametrize(
    ("destination", "queue"),
    [
        ("/topic/orders.v1", "orders.v1"),
        ("/exchange/name/key.v1", "key.v1"),
        ("/queue/orders", "orders"),
        ("orders", "orders"),
    ],
)
def test_the_queue_is_the_last_segment_of_the_destination_by_default(destination: str, queue: str) -> None:
    assert _subscription(destination, None).queue == queue
    assert _subscription(destination, "").queue == queue


@pytest.mark.parametrize("destination", ["/topic/", "", "/exchange/name/"])
def test_a_destination_without_a_last_segment_needs_a_queue(destination: str) -> None:
    with pytest.raises(ConfigurationError, match="Name the queue"):
        _subscription(destination, None)
    assert _subscription(destination, "named").queue == "named"


def test_a_slash_in_the_queues_name_is_escaped_in_the_dead_letter_destination() -> None:
    subscription = _subscription(queue="a/b %c")
    assert subscription.dead_letter_destination == "DLQ.a%2Fb %c"
    assert subscription.dead_letter_headers()["x-queue-name"] == "DLQ.a/b %c"


def test_a_queue_whose_dead_letters_could_not_be_kept_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="another queue name"):
        _subscription(queue="a%2Fb")


@pytest.mark.parametrize(
    ("project", "arguments", "expected"),
    [
        ({}, {}, 1),
        ({}, {"concurrency": 4}, 4),
        ({}, {"prefetch": 2, "concurrency": 4}, 2),
        ({"CONSUMER_PREFETCH": 50}, {}, 50),
        ({"CONSUMER_PREFETCH": 50}, {"prefetch": 7}, 7),
        ({"CONSUMER_CONCURRENCY": 3}, {}, 3),
        ({"DEFAULT_STOMP_QUEUE_HEADERS": {"prefetch-count": "20"}}, {}, 20),
        ({"DEFAULT_STOMP_QUEUE_HEADERS": {"prefetch-count": "0"}}, {}, 100),
        ({"DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true"}}, {}, 100),
        ({"DEFAULT_STOMP_QUEUE_HEADERS": {"prefetch-count": "many"}}, {}, 100),
    ],
)
def test_prefetch_is_always_bounded_and_enough_for_the_callbacks(
    project: dict[str, Any], arguments: dict[str, Any], expected: int
) -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN=project):
        headers = _subscription(**arguments).headers()
    assert headers["prefetch-count"] == str(expected)


def test_the_name_of_the_callback_is_its_dotted_path() -> None:
    assert Subscription(settings.closest, "/topic/x", "x").callback_name == "django_outbox.settings.closest"
