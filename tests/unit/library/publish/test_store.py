"""Claims keep publishers apart, and only the holder of a claim may settle it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_outbox import store
from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received
from django_outbox.store.ordering import unbroken

pytestmark = pytest.mark.django_db

LEASE = 60.0


def _create(count: int = 1, **values: Any) -> list[Published]:
    messages = [Published(**{"destination": "/topic/a", "body": {"n": n}, **values}) for n in range(count)]
    return Published.objects.bulk_create(messages)


def test_a_claim_takes_the_oldest_first_up_to_its_limit() -> None:
    _create(5)
    claim = store.claim(3, LEASE)
    assert [row.body["n"] for row in claim.rows] == [0, 1, 2]


def test_what_is_claimed_is_not_claimed_again() -> None:
    _create(5)
    first, second, third = store.claim(3, LEASE), store.claim(3, LEASE), store.claim(3, LEASE)
    assert [len(claim.rows) for claim in (first, second, third)] == [3, 2, 0]
    assert {row.id for row in first.rows}.isdisjoint(row.id for row in second.rows)


def test_a_claim_that_has_lapsed_can_be_taken_by_another() -> None:
    _create(1)
    store.claim(1, LEASE)
    Published.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert len(store.claim(1, LEASE).rows) == 1


def test_settling_marks_exactly_the_rows_that_were_confirmed() -> None:
    _create(3)
    claim = store.claim(3, LEASE)
    assert store.settle(claim.token, [claim.rows[1].id]) == 1
    states = dict(Published.objects.values_list("body__n", "status"))
    assert states == {0: StatusChoice.SCHEDULE, 1: StatusChoice.SUCCEEDED, 2: StatusChoice.SCHEDULE}
    settled = Published.objects.get(status=StatusChoice.SUCCEEDED)
    assert (settled.claim_token, settled.claimed_until) == (None, None)


def test_a_lost_claim_settles_nothing() -> None:
    _create(1)
    lost = store.claim(1, LEASE)
    Published.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    taken = store.claim(1, LEASE)
    ids = [row.id for row in taken.rows]
    assert store.settle(lost.token, ids) == 0
    assert store.release(lost.token, ids) == 0
    store.charge(lost.token, [store.Failure(ids[0], 1, 0.0, "no")])
    assert Published.objects.get().retry == 0
    assert store.settle(taken.token, ids) == 1


def test_released_rows_are_due_at_once_and_unchanged() -> None:
    _create(2)
    claim = store.claim(2, LEASE)
    assert store.release(claim.token, [row.id for row in claim.rows]) == 2
    assert store.claim(2, LEASE).rows == claim.rows


def test_a_failure_is_written_on_the_row_with_its_next_attempt_on_the_databases_clock() -> None:
    _create(1)
    claim = store.claim(1, LEASE)
    store.charge(claim.token, [store.Failure(claim.rows[0].id, 3, 240.0, "the broker said no")])
    row = Published.objects.get()
    assert (row.retry, row.last_error, row.status) == (3, "the broker said no", StatusChoice.SCHEDULE)
    assert row.next_attempt_at is not None
    assert 230 < (row.next_attempt_at - timezone.now()).total_seconds() <= 241
    assert not store.look()


def test_a_row_whose_rest_is_over_is_claimed_apart_from_the_others() -> None:
    _create(2)
    Published.objects.filter(body__n=0).update(retry=3, next_attempt_at=timezone.now() - timedelta(seconds=1))
    assert [row.body["n"] for row in store.claim(9, LEASE).rows] == [1]
    assert [row.body["n"] for row in store.claim(9, LEASE, share=store.Share.TROUBLED).rows] == [0]


def test_a_row_that_is_given_up_is_parked_with_its_error() -> None:
    _create(1)
    claim = store.claim(1, LEASE)
    store.charge(claim.token, [store.Failure(claim.rows[0].id, 50, None, "the broker said no")])
    row = Published.objects.get()
    assert (row.status, row.retry, row.last_error) == (StatusChoice.FAILED, 50, "the broker said no")
    assert not store.look()


def test_a_deferred_row_waits_without_having_failed() -> None:
    _create(1)
    claim = store.claim(1, LEASE)
    store.defer(claim.token, [claim.rows[0].id], 5)
    assert Published.objects.get().retry == 0
    assert not store.look()


def test_rows_past_their_expiry_are_due_like_any_other() -> None:
    _create(1, expires_at=timezone.now() - timedelta(days=90))
    assert len(store.claim(1, LEASE).rows) == 1


def test_settling_writes_no_column_that_it_does_not_change() -> None:
    _create(2)
    claim = store.claim(2, LEASE)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        store.settle(claim.token, [row.id for row in claim.rows])
    [statement] = [query["sql"] for query in queries]
    assert "body" not in statement
    assert "headers" not in statement


def test_the_backlog_counts_what_is_not_sent_by_destination() -> None:
    _create(3, destination="/topic/a")
    _create(1, destination="/topic/b", status=StatusChoice.FAILED)
    _create(4, destination="/topic/c", status=StatusChoice.SUCCEEDED)
    oldest = Published.objects.filter(destination="/topic/a").order_by("added")[0].added
    assert sorted(store.backlog(), key=lambda row: row.destination) == [
        store.DestinationBacklog("/topic/a", 3, 0, oldest),
        store.DestinationBacklog("/topic/b", 0, 1, None),
    ]


def test_the_backlog_costs_one_statement() -> None:
    _create(3)
    with CaptureQueriesContext(connection) as queries:
        store.backlog()
    assert len(queries) == 1


def test_looking_into_an_empty_outbox_costs_one_statement() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert not store.look()
    assert len(queries) == 1


def test_a_migrated_database_can_hold_our_rows() -> None:
    assert store.schema_problem() is None


@pytest.mark.parametrize(("model", "column"), [(Published, "claim_token"), (Published, "last_error")])
def test_a_database_that_is_not_migrated_is_named_with_what_to_do(model: Any, column: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {model._meta.db_table} DROP COLUMN {column}")
    problem = store.schema_problem()
    assert problem is not None
    assert column in problem
    assert "manage.py migrate" in problem


def test_only_old_rows_that_succeeded_are_removed() -> None:
    old = timezone.now() - timedelta(days=31)
    for status in StatusChoice:
        _create(2, status=status)
    Published.objects.filter(body__n=0).update(added=old)
    before = timezone.now() - timedelta(days=30)
    assert store.remove_finished(Published, before, 10) == 1
    assert Published.objects.count() == 5
    assert set(Published.objects.filter(added=old).values_list("status", flat=True)) == {
        StatusChoice.FAILED,
        StatusChoice.SCHEDULE,
    }


def test_rows_are_removed_in_bites() -> None:
    Received.objects.bulk_create(Received(msg_id=str(uuid.uuid4())) for _ in range(5))
    Received.objects.update(added=timezone.now() - timedelta(days=31))
    before = timezone.now()
    assert [store.remove_finished(Received, before, 2) for _ in range(4)] == [2, 2, 1, 0]


def test_rows_of_one_key_are_claimed_together_in_their_order() -> None:
    _create(2, key="a")
    _create(2, key="b")
    _create(1)
    assert [row.body["n"] for row in store.claim(9, LEASE).rows] == [0], "rows without a key are claimed apart"
    assert [(row.key, row.body["n"]) for row in store.claim(9, LEASE, share=store.Share.KEYED).rows] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]


def test_while_a_row_of_a_key_is_claimed_nobody_claims_the_later_ones() -> None:
    _create(3, key="a")
    _create(1, key="b")
    first = store.claim(1, LEASE, share=store.Share.KEYED)
    assert [(row.key, row.body["n"]) for row in first.rows] == [("a", 0)]
    assert [row.key for row in store.claim(9, LEASE, share=store.Share.KEYED).rows] == ["b"]
    store.settle(first.token, [first.rows[0].id])
    assert [row.body["n"] for row in store.claim(9, LEASE, share=store.Share.KEYED).rows] == [1, 2]


def test_a_lapsed_claim_gives_the_key_back_from_its_first_row_on() -> None:
    _create(3, key="a")
    store.claim(2, LEASE, share=store.Share.KEYED)
    Published.objects.filter(claimed_until__isnull=False).update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert [row.body["n"] for row in store.claim(9, LEASE, share=store.Share.KEYED).rows] == [0, 1, 2]


@pytest.mark.parametrize(("retry", "rest"), [(1, None), (3, 240), (0, 5)])
def test_a_row_that_waits_to_be_tried_again_holds_up_its_key_and_no_other(retry: int, rest: int | None) -> None:
    _create(3, key="a")
    _create(1, key="b")
    later = None if rest is None else timezone.now() + timedelta(seconds=rest)
    Published.objects.filter(key="a", body__n=1).update(retry=retry, next_attempt_at=later)
    claimed = store.claim(9, LEASE, share=store.Share.KEYED).rows
    assert [(row.key, row.body["n"]) for row in claimed] == [("a", 0), ("b", 0)]


def test_a_row_that_failed_before_waits_for_those_before_it_in_its_key() -> None:
    _create(2, key="a")
    Published.objects.filter(body__n=1).update(retry=1)
    assert store.claim(9, LEASE, share=store.Share.TROUBLED).rows == ()
    Published.objects.filter(body__n=0).update(status=StatusChoice.SUCCEEDED)
    assert len(store.claim(9, LEASE, share=store.Share.TROUBLED).rows) == 1


@pytest.mark.parametrize(("policy", "claimed"), [("block", []), ("park", []), ("skip", [1, 2])])
def test_a_parked_row_holds_up_its_key_unless_it_is_to_be_skipped(
    settings: Any, policy: str, claimed: list[int]
) -> None:
    settings.DJANGO_OUTBOX_PATTERN = {"ORDER_ON_FAILURE": policy}
    _create(3, key="a")
    Published.objects.filter(body__n=0).update(status=StatusChoice.FAILED)
    assert [row.body["n"] for row in store.claim(9, LEASE, share=store.Share.KEYED).rows] == claimed
    [counted] = store.backlog()
    assert (counted.pending, counted.failed, counted.blocked) == (2, 1, 0 if policy == "skip" else 2)


def test_a_parked_row_is_no_bar_to_those_written_before_it() -> None:
    _create(3, key="a")
    Published.objects.filter(body__n=1).update(status=StatusChoice.FAILED)
    assert [row.body["n"] for row in store.claim(9, LEASE, share=store.Share.KEYED).rows] == [0]


def test_rows_behind_a_parked_one_are_parked_with_its_name() -> None:
    rows = _create(4, key="a")
    _create(2, key="b")
    Published.objects.filter(pk=rows[1].pk).update(status=StatusChoice.FAILED, last_error="too large")
    Published.objects.filter(pk=rows[3].pk).update(retry=2)
    assert store.park_followers(100) == 2
    assert store.park_followers(100) == 0
    errors = dict(Published.objects.filter(status=StatusChoice.FAILED).values_list("body__n", "last_error"))
    assert errors == {1: "too large", 2: errors[2], 3: errors[2]}
    assert str(rows[1].pk) in str(errors[2])
    assert Published.objects.filter(status=StatusChoice.SCHEDULE).count() == 3


def test_of_what_is_locked_by_others_the_followers_are_left_too() -> None:
    rows = _create(4, key="a") + _create(2, key="b")
    wanted = [(row.pk, str(row.key)) for row in rows]
    locked = store.claim(9, LEASE, share=store.Share.KEYED).rows
    got = [row for row in locked if row.id != rows[1].pk]
    assert [(row.key, row.body["n"]) for row in unbroken(wanted, got)] == [("a", 0), ("b", 0), ("b", 1)]


def test_looking_tells_the_shares_apart() -> None:
    assert store.look() == store.Due(unkeyed=False, keyed=False, troubled=False)
    _create(1, key="a")
    assert store.look() == store.Due(unkeyed=False, keyed=True, troubled=False)
    _create(1)
    Published.objects.filter(key="a").update(retry=1)
    assert store.look() == store.Due(unkeyed=True, keyed=False, troubled=True)


def test_any_number_of_failures_is_written_in_one_statement() -> None:
    _create(30)
    claim = store.claim(30, LEASE)
    failures = [
        store.Failure(row.id, 1 + number % 3, (0.0, 240.0, None)[number % 3], f"no {number}")
        for number, row in enumerate(claim.rows)
    ]
    with CaptureQueriesContext(connection) as queries:
        store.charge(claim.token, failures)
    assert len(queries) == 1
    written = {row.pk: row for row in Published.objects.all()}
    for number, failure in enumerate(failures):
        row = written[failure.row_id]
        assert (row.retry, row.last_error, row.claim_token) == (failure.failures, f"no {number}", None)
        assert row.status == (StatusChoice.FAILED if failure.rest is None else StatusChoice.SCHEDULE)
        assert (row.next_attempt_at is not None) == (failure.rest == 240.0)


def test_a_claim_can_be_held_for_longer() -> None:
    _create(1)
    claim = store.claim(1, 0.0)
    assert store.renew(claim.token, [claim.rows[0].id], LEASE) == 1
    assert not store.claim(1, LEASE).rows
