"""What is decided about a message that failed, and what is written on it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from django_outbox import story
from django_outbox.story import Asked, Failure, delay_before_next, round_up
from django_outbox.transport.frames import unsendable

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
DELAYS = (10, 60)


def _raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("failure", "failed", "seconds"),
    [
        (Failure("x"), 1, 10),
        (Failure("x"), 2, 60),
        (Failure("x"), 3, None),
        (Failure("x", final=True), 1, None),
        (Failure("x", asked=Asked()), 1, 10),
        (Failure("x", asked=Asked()), 7, 60),
        (Failure("x", asked=Asked(5)), 7, 5),
        (Failure("x", asked=Asked(5, limit=8)), 7, 5),
        (Failure("x", asked=Asked(5, limit=7)), 7, None),
        (Failure("x", asked=Asked(5)), 99, 5),
        (Failure("x", asked=Asked(5)), 100, None),
        (Failure("x", asked=Asked(5), final=True), 1, None),
    ],
)
def test_the_next_try_comes_after_the_settings_delay_or_the_one_asked_for(
    failure: Failure, failed: int, seconds: float | None
) -> None:
    assert delay_before_next(failure, failed, DELAYS) == seconds


def test_without_delays_there_is_no_other_try_unless_one_says_when() -> None:
    assert delay_before_next(Failure("x"), 1, ()) is None
    assert delay_before_next(Failure("x", asked=Asked()), 1, ()) is None
    assert delay_before_next(Failure("x", asked=Asked(3)), 1, ()) == 3


@pytest.mark.parametrize(
    ("asked", "rounded"),
    [
        *((0, 0.1), (-5, 0.1), (0.123, 0.13), (37.2, 38), (90, 90), (3601, 3700), (0.3, 0.3)),
        *((Decimal("37.2"), 38), (1e300, 320_000_000)),
    ],
)
def test_a_delay_asked_for_is_rounded_up_to_two_digits_so_that_queues_stay_few(asked: float, rounded: float) -> None:
    assert round_up(asked) == rounded


@given(st.floats(min_value=0.1, max_value=1e6))
def test_a_rounded_delay_is_never_shorter_and_never_much_longer(seconds: float) -> None:
    assert seconds * 0.999999 <= round_up(seconds) <= seconds * 1.11


@pytest.mark.parametrize(
    ("value", "attempts"), [("3", 3), ("0", 0), ("", 0), ("-1", 0), ("x", 0), ("9" * 30, 0), ("٣", 0), (None, 0)]
)
def test_attempts_are_read_from_the_header_and_nonsense_counts_as_none(value: Any, attempts: int) -> None:
    assert story.attempts_of({"dop-attempts": value}) == attempts


def test_the_copy_keeps_what_came_with_the_message_and_leaves_out_what_belongs_to_the_delivery() -> None:
    came = {
        "destination": "/topic/orders",
        "message-id": "T_1@@s@@1",
        "ack": "T_1@@s@@1",
        "subscription": "1",
        "redelivered": "true",
        "content-length": "5",
        "expiration": "1000",
        "user-id": "orders",
        "x-first-death-queue": "RETRY.billing.15s",
        "x-message-ttl": "10000",
        "content-type": "application/json",
        "dop-msg-id": "m-1",
        "color": "blue",
    }
    told = story.tell(came, Failure("ValueError: no", "ValueError@billing.bill"), "billing", NOW)
    assert told == {
        "content-type": "application/json",
        "dop-msg-id": "m-1",
        "color": "blue",
        "persistent": "true",
        "dop-attempts": "1",
        "dop-error": "ValueError: no",
        "dop-error-fingerprint": "ValueError@billing.bill",
        "dop-failed-at": "2026-05-01T12:00:00.000+00:00",
        "dop-queue": "billing",
        "dop-destination": "/topic/orders",
    }


def test_the_second_failure_counts_on_and_keeps_where_the_message_first_came_from() -> None:
    came = {
        "destination": "/queue/billing",
        "dop-attempts": "1",
        "dop-destination": "/topic/orders",
        "dop-error": "old",
    }
    told = story.tell(came, Failure("new"), "billing", NOW)
    assert (told["dop-attempts"], told["dop-destination"], told["dop-error"]) == ("2", "/topic/orders", "new")


def test_a_message_that_comes_again_looks_to_the_callback_as_it_first_did() -> None:
    first = {"destination": "/topic/orders", "x-message-ttl": "mine"}
    assert story.as_first_received(first) is first
    again = {
        "destination": "/queue/billing",
        "dop-attempts": "1",
        "dop-destination": "/topic/orders",
        "x-message-ttl": "10000",
        "durable": "true",
        "color": "blue",
    }
    seen = story.as_first_received(again)
    assert seen["destination"] == "/topic/orders"
    assert seen["color"] == "blue"
    assert not {"x-message-ttl", "durable"} & seen.keys()


def test_a_message_that_is_brought_back_is_what_the_failure_left() -> None:
    told = story.tell({"destination": "/topic/orders", "color": "blue"}, Failure("no"), "billing", NOW)
    wait = {"dop-due": "2026-05-01T12:00:10.000+00:00", "dop-waits-until": "x", "x-message-ttl": "3615000"}
    taken = {
        **told,
        **wait,
        "durable": "true",
        "destination": "/queue/RETRY.billing.15s",
        "message-id": "m",
        "ack": "a",
    }
    assert story.brought_back(taken) == told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("no\nsecond line"), "ValueError: no"),
        (ValueError("\n  first \n second"), "ValueError: first"),
        (KeyError(), "KeyError"),
        (ValueError("nul \0 and half \ud800"), "ValueError: nul \N{REPLACEMENT CHARACTER} and half ?"),
    ],
)
def test_an_error_is_told_by_its_class_and_first_line(error: Exception, words: str) -> None:
    assert story.describe(error) == words


@given(st.text(max_size=2000))
def test_every_error_can_be_said_in_a_header(text: str) -> None:
    words = story.describe(ValueError(text))
    assert len(words) <= story.ERROR_LENGTH
    assert "\n" not in words
    assert unsendable({"dop-error": words}) is None


def test_a_fingerprint_names_the_class_and_the_applications_innermost_function() -> None:
    def parse() -> None:
        int("x")

    def callback() -> None:
        parse()

    with pytest.raises(ValueError, match="invalid literal") as caught:
        callback()
    place = f"{__name__}.test_a_fingerprint_names_the_class_and_the_applications_innermost_function.<locals>.parse"
    assert story.fingerprint(caught.value) == f"ValueError@{place}"


def test_failures_of_one_kind_have_one_fingerprint_whatever_their_words() -> None:
    one, two = _raised(ValueError("order 1")), _raised(ValueError("order 2"))
    assert story.fingerprint(one) == story.fingerprint(two)
    assert story.fingerprint(one) != story.fingerprint(_raised(TypeError("order 1")))
