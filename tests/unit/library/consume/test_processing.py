"""How each way a callback can end is judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, ProgrammingError, transaction
from django.test import override_settings

from django_outbox import correlation, inbox
from django_outbox.exceptions import Reject, RetryLater
from django_outbox.models import Received
from django_outbox.processing import ACK, DUPLICATE, Outcome, decode
from django_outbox.story import Asked, Failure
from tests.unit.library.consume.doubles import Pause, headers, processor

if TYPE_CHECKING:
    from django_outbox.payloads import Payload

pytestmark = pytest.mark.django_db(transaction=True)


def _save(payload: Payload) -> None:
    with transaction.atomic():
        payload.save()


def _save_twice_over(payload: Payload) -> None:
    """Be overtaken by another delivery in the middle of the transaction."""
    inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    with transaction.atomic():
        payload.save()


def test_a_saved_message_is_acknowledged() -> None:
    assert processor(_save).process("{}", headers(dop_msg_id="m-1")) is Outcome.ACK


def test_a_message_seen_before_is_a_duplicate_and_its_callback_is_not_called() -> None:
    calls: list[Payload] = []
    inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    assert processor(calls.append).process("{}", headers(dop_msg_id="m-1")) is Outcome.DUPLICATE
    assert calls == []


def test_a_message_overtaken_by_its_twin_is_a_duplicate() -> None:
    assert processor(_save_twice_over).process("{}", headers(dop_msg_id="m-1")) is Outcome.DUPLICATE


def test_a_callback_that_hides_being_overtaken_is_found_out() -> None:
    def callback(payload: Payload) -> None:
        try:
            _save_twice_over(payload)
        except Exception:
            return

    assert processor(callback).process("{}", headers(dop_msg_id="m-1")) is Outcome.DUPLICATE


def test_a_callback_that_raises_something_else_over_being_overtaken_is_found_out() -> None:
    def callback(payload: Payload) -> None:
        try:
            _save_twice_over(payload)
        except Exception as error:
            raise KeyError("cleaning up failed") from error

    assert processor(callback).process("{}", headers(dop_msg_id="m-1")) is Outcome.DUPLICATE


def test_a_refused_message_is_refused() -> None:
    assert processor(lambda payload: payload.nack()).process("{}", headers()) is Outcome.NACK


def test_a_refused_message_stays_refused_when_the_callback_raises_after_it() -> None:
    def callback(payload: Payload) -> None:
        payload.nack()
        raise OperationalError("later")

    pause = Pause()
    assert processor(callback, pause).process("{}", headers()) is Outcome.NACK
    assert pause.slept == []


def test_an_explicit_acknowledgement_is_enough() -> None:
    assert processor(lambda payload: payload.ack()).process("{}", headers()) is Outcome.ACK


def test_only_a_message_that_the_inbox_knows_counts_as_recorded() -> None:
    known = headers(dop_msg_id="m-1")
    assert processor(_save).handle("{}", known).is_recorded
    assert processor(_save).handle("{}", known) == DUPLICATE
    assert DUPLICATE.is_recorded
    assert processor(_save).handle("{}", headers()) == ACK, "it has no id to be known by"
    assert processor(lambda payload: payload.ack()).handle("{}", headers(dop_msg_id="m-2")) == ACK, "it has no row"


@pytest.mark.parametrize("error", [ValueError("bug"), SystemExit(1), RecursionError()])
def test_a_callback_that_raises_is_an_error(error: BaseException) -> None:
    def callback(_payload: Payload) -> None:
        raise error

    assert processor(callback).process("{}", headers()) is Outcome.ERROR


def test_a_callback_that_asks_for_nothing_is_an_error_with_the_known_words(caplog: pytest.LogCaptureFixture) -> None:
    assert processor(lambda _payload: None).process("{}", headers()) is Outcome.ERROR
    assert (
        "The save or nack command was not executed, and the routine finished running without receiving an "
        "acknowledgement or a negative acknowledgement. message-id: T_1@@session-1@@1"
    ) in caplog.messages


@pytest.mark.parametrize("acknowledge", [False, True])
def test_a_save_that_was_rolled_back_is_an_error_whatever_the_callback_says(acknowledge: bool) -> None:
    def callback(payload: Payload) -> None:
        with transaction.atomic():
            payload.save()
            if acknowledge:
                payload.ack()
            transaction.set_rollback(True)

    assert processor(callback).process("{}", headers(dop_msg_id="m-1")) is Outcome.ERROR
    assert not Received.objects.exists()


def test_an_error_after_the_commit_is_an_error_and_is_not_tried_again() -> None:
    calls = []

    def callback(payload: Payload) -> None:
        calls.append(payload)
        _save(payload)
        raise OperationalError("mail server")

    assert processor(callback).process("{}", headers(dop_msg_id="m-1")) is Outcome.ERROR
    assert len(calls) == 1


def test_database_errors_are_retried_with_waits_that_grow() -> None:
    def callback(_payload: Payload) -> None:
        raise OperationalError("deadlock detected")

    pause = Pause()
    assert processor(callback, pause).process("{}", headers()) is Outcome.ERROR
    assert pause.slept == [2, 4, 6]


@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_CONSUMER_MAX_RETRY_ATTEMPTS": 0})
def test_no_retries_means_none() -> None:
    def callback(_payload: Payload) -> None:
        raise OperationalError("deadlock detected")

    pause = Pause()
    assert processor(callback, pause).process("{}", headers()) is Outcome.ERROR
    assert pause.slept == []


def test_each_try_gets_a_body_that_no_other_has_changed() -> None:
    seen: list[Any] = []

    def callback(payload: Payload) -> None:
        seen.append(dict(payload.body))
        payload.body["n"] += 1
        if len(seen) < 3:
            raise OperationalError("deadlock detected")
        _save(payload)

    assert processor(callback).process('{"n": 1}', headers(dop_msg_id="m-1")) is Outcome.ACK
    assert seen == [{"n": 1}] * 3


def test_a_stop_during_the_wait_leaves_the_message_for_later() -> None:
    calls = []

    def callback(payload: Payload) -> None:
        calls.append(payload)
        raise OperationalError("deadlock detected")

    assert processor(callback, Pause(stop_at=1)).process("{}", headers()) is Outcome.LEFT
    assert len(calls) == 1


@pytest.mark.parametrize("error", [OperationalError("gone"), ProgrammingError("no such table")])
def test_a_database_that_cannot_be_asked_delays_the_message_however_long(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answers: list[Any] = [error] * 7 + [False]
    reports: list[str | None] = []

    def seen(_consumer: str, _identity: str | None) -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    monkeypatch.setattr(inbox, "seen", seen)
    pause = Pause()
    outcome = processor(_save, pause, report=reports.append).process("{}", headers(dop_msg_id="m-1"))
    assert outcome is Outcome.ACK
    assert pause.slept == [1, 2, 4, 8, 16, 30, 30]
    assert reports[:-1] == [f"the inbox cannot be read: {error}"] * 7
    assert reports[-1] is None


def test_a_stop_while_the_database_is_away_leaves_the_message_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def seen(_consumer: str, _identity: str | None) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(inbox, "seen", seen)
    assert processor(_save, Pause(stop_at=2)).process("{}", headers(dop_msg_id="m-1")) is Outcome.LEFT


def test_the_messages_correlation_id_is_current_during_the_callback_only() -> None:
    current: list[str | None] = []

    def callback(payload: Payload) -> None:
        current.append(correlation.current())
        payload.nack()

    processor(callback).process("{}", headers(dop_correlation_id="request-7"))
    assert current == ["request-7"]
    assert correlation.current() is None


def test_a_message_without_a_correlation_id_gets_one() -> None:
    current: list[str | None] = []

    def callback(payload: Payload) -> None:
        current.append(correlation.current())
        payload.nack()

    processor(callback).process("{}", headers())
    processor(callback).process("{}", headers(dop_correlation_id=""))
    assert all(current)
    assert len(set(current)) == 2


def test_no_log_record_holds_the_body_and_each_says_which_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    processor(lambda _payload: None).process('{"card": "4111"}', headers(dop_msg_id="m-1"))
    record = caplog.records[-1]
    assert "4111" not in caplog.text
    assert (record.queue, record.msg_id) == ("billing", "m-1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        ('{"a": 1}', {"a": 1}),
        ("[]", []),
        ("null", None),
        ("not json", "not json"),
        ("", ""),
        ("[" * 100_000, "[" * 100_000),
        ("1" * 5000, "1" * 5000),
        (None, None),
    ],
)
def test_a_body_is_what_its_json_says_and_the_raw_text_otherwise(raw: Any, body: Any) -> None:
    assert decode(raw) == body


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("callback", "failure"),
    [
        (lambda payload: payload.nack(), Failure("refused by the callback", final=True)),
        (lambda payload: payload.nack("no such\ncustomer"), Failure("no such customer", final=True)),
        (lambda _payload: _raise(Reject("closed")), Failure("Reject: closed", final=True)),
        (lambda payload: payload.retry(), Failure("the callback asked for another try", asked=Asked())),
        (lambda payload: payload.retry(5, "early", limit=2), Failure("early", asked=Asked(5, 2))),
        (
            lambda _payload: _raise(RetryLater(5, "early", limit=2)),
            Failure("RetryLater: early", asked=Asked(5, 2)),
        ),
        (lambda _payload: _raise(ValueError("bug")), Failure("ValueError: bug")),
        (lambda _payload: None, Failure("the callback returned without save(), nack() or retry()")),
    ],
)
def test_an_ending_without_effect_says_why_and_whether_to_try_again(callback: Any, failure: Failure) -> None:
    ending = processor(callback).handle("{}", headers())
    assert ending.outcome is (Outcome.NACK if failure.final else Outcome.ERROR)
    assert ending.failure is not None
    assert replace(ending.failure, fingerprint="") == failure
    assert ending.failure.fingerprint.count("@") == 1


@pytest.mark.parametrize("after", [float("nan"), float("inf"), -float("inf"), "soon", b"5", True, 10**400])
def test_a_callback_that_asks_for_an_impossible_delay_fails_like_any_other(after: Any) -> None:
    for ask in (lambda payload: payload.retry(after), lambda _payload: _raise(RetryLater(after))):
        failure = processor(ask).handle("{}", headers()).failure
        assert failure is not None
        assert failure.error.startswith("ValueError: after must be a number of seconds, not ")
        assert (failure.asked, failure.final) == (None, False)


@pytest.mark.parametrize("limit", ["3", 2.5, float("nan"), True])
def test_a_callback_that_asks_for_an_impossible_number_of_tries_fails_like_any_other(limit: Any) -> None:
    failure = processor(lambda payload: payload.retry(1, limit=limit)).handle("{}", headers()).failure
    assert failure is not None
    assert failure.error.startswith("ValueError: limit must be a whole number of tries, not ")


def test_raising_reject_rolls_the_callbacks_transaction_back() -> None:
    def callback(payload: Payload) -> None:
        with transaction.atomic():
            payload.save()
            raise Reject("closed")

    assert processor(callback).process("{}", headers(dop_msg_id="m-1")) is Outcome.NACK
    assert not Received.objects.exists()


def test_what_failed_after_its_commit_is_not_tried_again_as_it_would_be_a_duplicate() -> None:
    def callback(payload: Payload) -> None:
        _save(payload)
        raise ValueError("mail server")

    failure = processor(callback).handle("{}", headers(dop_msg_id="m-1")).failure
    assert failure is not None
    assert failure.final


def test_a_save_wins_over_a_wish_to_try_again() -> None:
    def callback(payload: Payload) -> None:
        _save(payload)
        payload.retry(after=5)

    assert processor(callback).process("{}", headers(dop_msg_id="m-1")) is Outcome.ACK


def test_a_callback_sees_the_message_as_it_first_came_and_which_try_it_is() -> None:
    seen: list[Any] = []

    def callback(payload: Payload) -> None:
        seen.append((payload.attempt, payload.headers["destination"]))
        payload.nack()

    subject = processor(callback)
    subject.process("{}", headers())
    subject.process("{}", headers(dop_attempts="2", dop_destination="/topic/orders", destination="/queue/billing"))
    assert seen == [(1, "/topic/x"), (3, "/topic/orders")]
