"""Callbacks that take many messages: one transaction, one verdict each, and none sinks another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_outbox import batch_callback, correlation, inbox
from django_outbox.batches import BatchProcessor
from django_outbox.batching import batching_of
from django_outbox.exceptions import ConfigurationError, Reject, RetryLater
from django_outbox.groups import processor_of
from django_outbox.models import Received
from django_outbox.processing import Ending, Job, Outcome, Processor
from django_outbox.story import Asked
from django_outbox.subscription import Subscription
from tests.django_project.events.models import Effect
from tests.unit.library.consume.doubles import Pause, headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.payloads import Payload

pytestmark = pytest.mark.django_db(transaction=True)

ACK, DUPLICATE, ERROR, NACK, LEFT = Outcome.ACK, Outcome.DUPLICATE, Outcome.ERROR, Outcome.NACK, Outcome.LEFT


def _jobs(*names: str) -> list[Job]:
    return [Job.of(f'"{name}"', headers(dop_msg_id=name)) for name in names]


def _processor(callback: Callable[[list[Payload]], object], pause: Pause | None = None) -> Processor:
    subscription = Subscription(batch_callback(callback), "/topic/orders", "billing")  # type: ignore[arg-type]
    return processor_of(subscription, pause or Pause())


def _outcomes(endings: list[Ending]) -> list[Outcome]:
    return [ending.outcome for ending in endings]


def _handled() -> set[str | None]:
    return set(Received.objects.values_list("msg_id", flat=True))


class Calls:
    """A callback that leaves an effect for each message, remembers its batches, and fails over bad ones."""

    def __init__(self, *bad: str, error: BaseException | None = None) -> None:
        self.bad = bad
        self.error = error or ValueError("bad")
        self.batches: list[list[Any]] = []

    def __call__(self, payloads: list[Payload]) -> None:
        self.batches.append([payload.body for payload in payloads])
        for payload in payloads:
            Effect.objects.create(key=payload.body)
            if payload.body in self.bad:
                raise self.error


def _effects() -> list[str]:
    return sorted(Effect.objects.values_list("key", flat=True))


def test_a_batch_takes_effect_together_and_all_its_messages_are_recorded() -> None:
    calls = Calls()
    assert _outcomes(_processor(calls).handle_many(_jobs("a", "b", "c"))) == [ACK, ACK, ACK]
    assert calls.batches == [["a", "b", "c"]]
    assert (_effects(), _handled()) == (["a", "b", "c"], {"a", "b", "c"})
    assert set(Received.objects.values_list("consumer", "status")) == {("billing", 2)}


def test_messages_handled_before_are_left_out_and_acknowledged_as_duplicates() -> None:
    inbox.record(inbox.new_row("billing", "b", {}, {}))
    inbox.record(inbox.new_row("shipping", "c", {}, {}))
    calls = Calls()
    assert _outcomes(_processor(calls).handle_many(_jobs("a", "b", "c"))) == [ACK, DUPLICATE, ACK]
    assert calls.batches == [["a", "c"]]


def test_a_batch_of_nothing_new_calls_nobody() -> None:
    inbox.record(inbox.new_row("billing", "a", {}, {}))
    calls = Calls()
    assert _outcomes(_processor(calls).handle_many(_jobs("a"))) == [DUPLICATE]
    assert calls.batches == []


def test_two_deliveries_of_one_message_in_a_batch_take_effect_once() -> None:
    calls = Calls()
    assert _outcomes(_processor(calls).handle_many(_jobs("a", "b", "a"))) == [ACK, ACK, DUPLICATE]
    assert _effects() == ["a", "b"]


def test_messages_without_an_id_are_not_taken_for_each_other() -> None:
    calls = Calls()
    jobs = [Job.of('"a"', headers()), Job.of('"b"', headers())]
    endings = _processor(calls).handle_many(jobs)
    assert _outcomes(endings) == [ACK, ACK]
    assert not any(ending.is_recorded for ending in endings)
    assert calls.batches == [["a", "b"]]
    assert Received.objects.filter(msg_id=None).count() == 2


@pytest.mark.parametrize("bad", [["d"], ["a", "h"], ["a", "b", "c", "d", "e", "f", "g", "h"]])
def test_bad_messages_fail_alone_and_leave_no_effect_while_the_others_take_effect_once(bad: list[str]) -> None:
    names = list("abcdefgh")
    calls = Calls(*bad)
    endings = _processor(calls).handle_many(_jobs(*names))
    assert _outcomes(endings) == [ERROR if name in bad else ACK for name in names]
    assert {ending.failure.error for ending in endings if ending.failure} == {"ValueError: bad"}
    good = [name for name in names if name not in bad]
    assert (_effects(), _handled()) == (good, set(good))


def test_one_bad_message_of_many_is_found_by_halving() -> None:
    calls = Calls("m7")
    names = [f"m{number}" for number in range(64)]
    _processor(calls).handle_many(_jobs(*names))
    assert len(calls.batches) == 13
    assert len(calls.batches[-1]) == 32


def test_a_message_that_the_database_refuses_fails_alone() -> None:
    def callback(payloads: list[Payload]) -> None:
        Effect.objects.bulk_create(Effect(id=payload.body, key="x") for payload in payloads)

    Effect.objects.create(id=2, key="taken")
    jobs = [Job.of(str(number), headers(dop_msg_id=str(number))) for number in (1, 2, 3)]
    endings = _processor(callback).handle_many(jobs)
    assert _outcomes(endings) == [ACK, ERROR, ACK]
    assert endings[1].failure is not None
    assert endings[1].failure.error.startswith(IntegrityError.__name__)


def test_single_messages_can_be_refused_put_off_or_acknowledged_without_a_row() -> None:
    def callback(payloads: list[Payload]) -> None:
        payloads[0].nack("unknown customer")
        payloads[1].retry(after=5)
        payloads[2].ack()
        payloads[3].save()

    endings = _processor(callback).handle_many(_jobs("a", "b", "c", "d", "e"))
    assert _outcomes(endings) == [NACK, ERROR, ACK, ACK, ACK]
    assert [ending.is_recorded for ending in endings] == [False, False, False, True, True]
    assert endings[0].failure is not None
    assert endings[0].failure.error == "unknown customer"
    assert endings[1].failure is not None
    assert endings[1].failure.asked == Asked(5)
    assert _handled() == {"d", "e"}


@pytest.mark.parametrize(("verdict", "outcome"), [(Reject("gone"), NACK), (RetryLater(5), ERROR)])
def test_a_verdict_that_is_raised_is_about_the_message_that_raises_it_alone(
    verdict: Exception, outcome: Outcome
) -> None:
    endings = _processor(Calls("b", error=verdict)).handle_many(_jobs("a", "b", "c"))
    assert _outcomes(endings) == [ACK, outcome, ACK]
    assert _handled() == {"a", "c"}


def test_a_rolled_back_transaction_is_found_out() -> None:
    def callback(payloads: list[Payload]) -> None:
        Effect.objects.create(key="x")
        transaction.set_rollback(rollback=True)

    endings = _processor(callback).handle_many(_jobs("a", "b"))
    assert _outcomes(endings) == [ERROR, ERROR]
    assert (_effects(), _handled()) == ([], set())


def test_a_batch_overtaken_by_another_worker_is_handled_without_what_that_one_did() -> None:
    def overtaken(payloads: list[Payload]) -> None:
        calls(payloads)
        if len(calls.batches) == 1:
            other_worker.append("b")

    other_worker: list[str] = []
    calls = Calls()
    processor = _processor(overtaken)
    seen_among = inbox.seen_among

    def record_all(rows: Any) -> None:
        if other_worker == ["b"]:
            other_worker.append("done")
            raise inbox.DuplicateMessage("b was handled")
        real(rows)

    real = inbox.record_all
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox, "record_all", record_all)
        patch.setattr(
            inbox, "seen_among", lambda queue, ids: seen_among(queue, ids) | ({"b"} if other_worker else set())
        )
        assert _outcomes(processor.handle_many(_jobs("a", "b", "c"))) == [ACK, DUPLICATE, ACK]
    assert calls.batches == [["a", "b", "c"], ["a", "c"]]
    assert _effects() == ["a", "c"]


def test_rows_that_can_never_be_written_are_errors_and_no_endless_race() -> None:
    def refuse(_rows: Any) -> None:
        raise inbox.DuplicateMessage("never")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox, "record_all", refuse)
        endings = _processor(Calls()).handle_many(_jobs("a", "b"))
    assert _outcomes(endings) == [ERROR, ERROR]
    assert _effects() == []


def test_trouble_of_the_database_has_the_whole_batch_tried_again_on_the_spot() -> None:
    def callback(payloads: list[Payload]) -> None:
        calls(payloads)
        if len(calls.batches) == 1:
            raise OperationalError("deadlock detected")

    calls, pause = Calls(), Pause()
    assert _outcomes(_processor(callback, pause).handle_many(_jobs("a", "b"))) == [ACK, ACK]
    assert (calls.batches, pause.slept) == ([["a", "b"]] * 2, [2])


def test_a_message_that_troubles_the_database_each_time_is_found_without_waiting_for_each_half() -> None:
    pause = Pause()
    calls = Calls("b", error=OperationalError("statement timeout"))
    assert _outcomes(_processor(calls, pause).handle_many(_jobs("a", "b", "c", "d"))) == [ACK, ERROR, ACK, ACK]
    assert pause.slept == [2, 4, 6]


def test_a_batch_is_left_when_the_worker_is_asked_to_stop_while_the_database_is_in_trouble() -> None:
    calls = Calls("a", error=OperationalError("away"))
    assert _outcomes(_processor(calls, Pause(stop_at=1)).handle_many(_jobs("a", "b"))) == [LEFT, LEFT]
    assert _handled() == set()


def test_a_batch_costs_one_look_and_one_insert_however_many_messages_it_has() -> None:
    def callback(_payloads: list[Payload]) -> None:
        return None

    jobs = _jobs(*(f"m{number}" for number in range(50)))
    with CaptureQueriesContext(connection) as captured:
        _processor(callback).handle_many(jobs)
    kinds = [query["sql"].split()[0] for query in captured.captured_queries]
    assert kinds == ["SELECT", "BEGIN", "INSERT", "COMMIT"]


def test_a_single_message_costs_one_look_and_one_insert() -> None:
    def callback(payload: Payload) -> None:
        with transaction.atomic():
            payload.save()

    processor = processor_of(Subscription(callback, "/topic/orders", "billing"), Pause())
    with CaptureQueriesContext(connection) as captured:
        processor.handle_many(_jobs("a"))
    kinds = [query["sql"].split()[0] for query in captured.captured_queries]
    assert kinds == ["SELECT", "BEGIN", "INSERT", "COMMIT"]


def test_a_batch_within_a_transaction_of_the_caller_is_judged_too() -> None:
    with transaction.atomic():
        assert _outcomes(_processor(Calls("b")).handle_many(_jobs("a", "b", "c"))) == [ACK, ERROR, ACK]
    assert _handled() == {"a", "c"}


def test_a_message_alone_keeps_its_correlation_id_and_a_batch_has_a_new_one() -> None:
    bound: list[str | None] = []
    processor = _processor(lambda _payloads: bound.append(correlation.current()))
    one = Job.of("{}", headers(dop_msg_id="a", dop_correlation_id="c-1"))
    two = Job.of("{}", headers(dop_msg_id="b", dop_correlation_id="c-1"))
    three = Job.of("{}", headers(dop_msg_id="c", dop_correlation_id="c-2"))
    processor.handle_many([one])
    processor.handle_many([two, three])
    assert bound[0] == "c-1"
    assert bound[1] not in (None, "c-1", "c-2")


def test_one_message_handed_over_by_itself_is_a_batch_of_one() -> None:
    calls = Calls()
    assert _processor(calls).process('"a"', headers(dop_msg_id="a")) is ACK
    assert calls.batches == [["a"]]


# --- the decorator


def test_a_marked_callback_gets_the_processor_for_batches_and_others_do_not() -> None:
    assert isinstance(_processor(Calls()), BatchProcessor)
    plain = processor_of(Subscription(lambda _payload: None, "/topic/x", "x"), Pause())
    assert not isinstance(plain, BatchProcessor)


def test_a_callback_marked_without_numbers_follows_the_settings() -> None:
    @batch_callback
    def callback(_payloads: list[Payload]) -> None:
        return None

    batching = batching_of(callback)
    assert batching is not None
    assert (batching.most, batching.seconds) == (1, 0.1)
    with override_settings(DJANGO_OUTBOX_PATTERN={"CONSUMER_BATCH_SIZE": 50, "CONSUMER_BATCH_WAIT": 2}):
        assert (batching.most, batching.seconds) == (50, 2)


def test_a_callbacks_own_numbers_win() -> None:
    @batch_callback(size=7, wait=0)
    def callback(_payloads: list[Payload]) -> None:
        return None

    batching = batching_of(callback)
    assert batching is not None
    with override_settings(DJANGO_OUTBOX_PATTERN={"CONSUMER_BATCH_SIZE": 50, "CONSUMER_BATCH_WAIT": 2}):
        assert (batching.most, batching.seconds) == (7, 0)


@pytest.mark.parametrize("numbers", [{"size": 0}, {"size": 2.5}, {"size": True}, {"wait": -1}, {"wait": "1"}])
def test_numbers_that_make_no_sense_are_refused_where_they_stand(numbers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="@batch_callback"):
        batch_callback(**numbers)


def test_a_number_given_without_its_name_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"@batch_callback\(size=100, wait=0\.5\)"):
        batch_callback(100)  # type: ignore[call-overload]


@pytest.mark.parametrize(("concurrency", "prefetch"), [(1, 200), (3, 600)])
def test_the_prefetch_lets_batches_fill(concurrency: int, prefetch: int) -> None:
    callback = batch_callback(size=200)(Calls())
    subscription = Subscription.create(callback, "/topic/x", concurrency=concurrency)  # type: ignore[arg-type]
    assert subscription.effective_prefetch == prefetch
    own = Subscription.create(callback, "/topic/x", prefetch=5)  # type: ignore[arg-type]
    assert own.effective_prefetch == 5
