"""Several messages in one transaction, each with its own callback: a group changes nothing about what each comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_outbox import batch_callback, inbox
from django_outbox.exceptions import ConfigurationError, Reject
from django_outbox.groups import processor_of
from django_outbox.models import Received
from django_outbox.processing import RECORDED, Ending, Job, Outcome, Processor
from django_outbox.subscription import Subscription
from tests.django_project.events.models import Effect
from tests.unit.library.consume.doubles import Pause, headers

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.payloads import Payload

pytestmark = pytest.mark.django_db(transaction=True)

ACK, DUPLICATE, ERROR, LEFT, NACK = Outcome.ACK, Outcome.DUPLICATE, Outcome.ERROR, Outcome.LEFT, Outcome.NACK


def _jobs(*names: str) -> list[Job]:
    return [Job.of(f'"{name}"', headers(dop_msg_id=name)) for name in names]


def _processor(callback: Callable[[Payload], object]) -> Processor:
    return processor_of(Subscription(callback, "/topic/orders", "billing", group=100), Pause())


def _outcomes(endings: list[Ending]) -> list[Outcome]:
    return [ending.outcome for ending in endings]


def _state() -> tuple[list[str], list[str]]:
    return sorted(Effect.objects.values_list("key", flat=True)), sorted(
        Received.objects.values_list("msg_id", flat=True)
    )


def _write(payload: Payload) -> None:
    with transaction.atomic():
        Effect.objects.create(key=payload.body)
        payload.save()


def test_a_group_costs_a_look_an_insert_and_a_commit_beside_the_callbacks_own_statements() -> None:
    with CaptureQueriesContext(connection) as captured:
        assert _outcomes(_processor(_write).handle_many(_jobs("a", "b", "c"))) == [ACK] * 3
    kinds = [query["sql"].split()[0] for query in captured.captured_queries]
    assert kinds == ["SELECT", "BEGIN", *["SAVEPOINT", "INSERT", "RELEASE"] * 3, "INSERT", "COMMIT"]
    assert _state() == (["a", "b", "c"], ["a", "b", "c"])


@pytest.mark.parametrize("within", [True, False])
@pytest.mark.parametrize(("error", "outcome"), [(ValueError("bad"), ERROR), (Reject("gone"), NACK)])
def test_a_message_that_fails_undoes_only_its_own(within: bool, error: Exception, outcome: Outcome) -> None:
    def callback(payload: Payload) -> None:
        if payload.body != "b":
            _write(payload)
        elif within:
            with transaction.atomic():
                Effect.objects.create(key="b")
                payload.save()
                raise error
        else:
            Effect.objects.create(key="b")
            payload.save()
            raise error

    assert _outcomes(_processor(callback).handle_many(_jobs("a", "b", "c"))) == [ACK, outcome, ACK]
    assert _state() == (["a", "c"], ["a", "c"])


def test_a_message_handled_before_and_one_delivered_twice_are_duplicates() -> None:
    inbox.record(inbox.new_row("billing", "b", {}, {}))
    endings = _processor(_write).handle_many(_jobs("a", "b", "a", "c"))
    assert _outcomes(endings) == [ACK, DUPLICATE, DUPLICATE, ACK]
    assert _state() == (["a", "c"], ["a", "b", "c"])


def test_hooks_run_after_the_commit_and_fail_only_their_own_message() -> None:
    seen: list[tuple[str, bool, int]] = []

    def callback(payload: Payload) -> None:
        def hook() -> None:
            seen.append((payload.body, connection.in_atomic_block, Received.objects.count()))
            if payload.body == "a":
                raise ValueError("hook")

        with transaction.atomic():
            _write(payload)
            transaction.on_commit(hook)

    endings = _processor(callback).handle_many(_jobs("a", "b"))
    assert _outcomes(endings) == [ERROR, ACK]
    assert endings[0].failure is not None
    assert endings[0].failure.final
    assert seen == [("a", False, 2), ("b", False, 2)]
    assert _state() == (["a", "b"], ["a", "b"])


def test_a_durable_transaction_is_run_alone() -> None:
    def callback(payload: Payload) -> None:
        with transaction.atomic(durable=True):
            _write(payload)

    assert _outcomes(_processor(callback).handle_many(_jobs("a", "b", "c"))) == [ACK] * 3
    assert _state() == (["a", "b", "c"], ["a", "b", "c"])


def test_a_callback_that_breaks_the_transaction_costs_the_others_nothing() -> None:
    def callback(payload: Payload) -> None:
        with transaction.atomic():
            _write(payload)
        if payload.body == "b":
            connection.needs_rollback = connection.in_atomic_block

    assert _outcomes(_processor(callback).handle_many(_jobs("a", "b", "c"))) == [ACK] * 3
    assert _state() == (["a", "b", "c"], ["a", "b", "c"])


@pytest.mark.parametrize("error", [OperationalError("deadlock"), IntegrityError("late"), RuntimeError("odd")])
def test_a_group_that_does_not_commit_is_handled_one_by_one(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(_rows: object) -> None:
        raise error

    monkeypatch.setattr(inbox, "record_all", refuse)
    assert _outcomes(_processor(_write).handle_many(_jobs("a", "b"))) == [ACK, ACK]
    assert _state() == (["a", "b"], ["a", "b"])


def test_trouble_with_the_database_is_tried_again_alone() -> None:
    calls: list[str] = []

    def callback(payload: Payload) -> None:
        calls.append(payload.body)
        with transaction.atomic():
            _write(payload)
            if calls == ["a"]:
                raise OperationalError("deadlock")

    assert _outcomes(_processor(callback).handle_many(_jobs("a", "b"))) == [ACK, ACK]
    assert sorted(calls) == ["a", "a", "b"]
    assert _state() == (["a", "b"], ["a", "b"])


def test_a_worker_asked_to_stop_ends_its_transaction_after_the_callback_at_work() -> None:
    processor = processor_of(Subscription(_write, "/topic/orders", "billing", group=100), lambda _seconds: True)
    assert _outcomes(processor.handle_many(_jobs("a", "b", "c"))) == [ACK, LEFT, LEFT]
    assert _state() == (["a"], ["a"])


def test_a_batch_callback_takes_no_group() -> None:
    callback = batch_callback(size=5)(lambda _payloads: None)
    with pytest.raises(ConfigurationError, match="--group"):
        Subscription.create(callback, "/topic/x", group=2)


def test_without_a_group_messages_are_handled_as_ever() -> None:
    assert type(processor_of(Subscription(_write, "/topic/x", "x"), Pause())) is Processor


def test_hooks_of_a_save_that_stays_run_although_the_callback_raises_afterwards() -> None:
    seen: list[str] = []

    def callback(payload: Payload) -> None:
        with transaction.atomic():
            _write(payload)
            transaction.on_commit(lambda: seen.append(payload.body))
        raise ValueError("too late")

    endings = _processor(callback).handle_many(_jobs("a", "b"))
    assert _outcomes(endings) == [ERROR, ERROR]
    assert all(ending.failure and ending.failure.final for ending in endings)
    assert (seen, _state()) == (["a", "b"], (["a", "b"], ["a", "b"]))


def test_a_robust_hook_that_fails_leaves_its_message_and_its_other_hooks_alone() -> None:
    seen: list[str] = []

    def callback(payload: Payload) -> None:
        def hook() -> None:
            raise ValueError("hook")

        with transaction.atomic():
            _write(payload)
            transaction.on_commit(hook, robust=True)
            transaction.on_commit(lambda: seen.append(payload.body))

    assert _outcomes(_processor(callback).handle_many(_jobs("a", "b"))) == [ACK, ACK]
    assert seen == ["a", "b"]


def test_a_save_outside_of_a_transaction_is_undone_with_what_follows_it() -> None:
    def callback(payload: Payload) -> None:
        payload.save()
        Effect.objects.create(key=payload.body)
        if payload.body == "b":
            raise ValueError("bad")

    endings = _processor(callback).handle_many(_jobs("a", "b", "c"))
    assert _outcomes(endings) == [ACK, ERROR, ACK]
    assert endings[1].failure is not None
    assert not endings[1].failure.final
    assert _state() == (["a", "c"], ["a", "c"])


def test_messages_that_are_handled_again_keep_nobody_waiting() -> None:
    def callback(payload: Payload) -> None:
        with transaction.atomic():
            _write(payload)
            if payload.body == "a" and not connection.savepoint_ids == []:
                raise OperationalError("deadlock")

    rounds = _processor(callback).rounds(_jobs("a", "b", "c"))
    assert next(rounds) == {1: RECORDED, 2: RECORDED}
    assert _state() == (["b", "c"], ["b", "c"])
    assert next(rounds) == {0: RECORDED}
    assert list(rounds) == []


def test_a_message_seen_by_nobody_fails_alone_when_the_unforeseen_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    processor = _processor(_write)
    handle = processor._handle

    def handle_or_fail(job: Job) -> Ending:
        if job.body == '"b"':
            raise MemoryError
        return handle(job)

    def refuse(_rows: object) -> None:
        raise RuntimeError("odd")

    monkeypatch.setattr(inbox, "record_all", refuse)
    monkeypatch.setattr(processor, "_handle", handle_or_fail)
    rounds = processor.rounds(_jobs("a", "b"))
    assert next(rounds) == {0: RECORDED}
    with pytest.raises(MemoryError):
        next(rounds)


def test_a_transaction_that_nothing_is_written_in_is_asked_whether_it_stands() -> None:
    def callback(payload: Payload) -> None:
        payload.ack()

    with CaptureQueriesContext(connection) as captured:
        assert _outcomes(_processor(callback).handle_many(_jobs("a", "b"))) == [ACK, ACK]
    kinds = [query["sql"].split()[0] for query in captured.captured_queries]
    assert kinds == ["SELECT", "BEGIN", "SAVEPOINT", "RELEASE", "COMMIT"]


def test_groups_grow_while_they_fit_and_shrink_to_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    cost = 0.001

    def callback(payload: Payload) -> None:
        nonlocal now
        now += cost
        _write(payload)

    processor = _processor(callback)
    monkeypatch.setattr("django_outbox.groups.time.monotonic", lambda: now)
    names = iter(range(10_000))

    def handle() -> int:
        jobs = _jobs(*(str(next(names)) for _ in range(processor.at_once)))
        assert set(_outcomes(processor.handle_many(jobs))) == {ACK}
        return processor.at_once

    assert [handle() for _ in range(8)] == [2, 4, 8, 16, 32, 64, 100, 100]
    cost = 0.1
    assert [handle(), handle()] == [3, 3]
    cost = 10
    assert [handle(), handle()] == [1, 1]
