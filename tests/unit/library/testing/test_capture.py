"""What ``capture_outbox()`` shows is what the code under test has written and not rolled back."""

from __future__ import annotations

import datetime as dt
import decimal

import pytest
from django.db import IntegrityError, transaction

from django_outbox import enqueue
from django_outbox.models import Published
from django_outbox.testing import assert_published, capture_outbox
from tests.django_project.events.models import Plain, Serialized, Versioned

pytestmark = pytest.mark.django_db(databases=["default", "other"])


def test_messages_are_shown_in_the_order_of_writing_whatever_wrote_them() -> None:
    enqueue("/queue/before", {})
    with capture_outbox() as written:
        Plain.objects.create(field_one="a", field_two="b")
        enqueue("/queue/x", [1, 2], headers={"tenant": "t"}, version="v2")
        Published.objects.bulk_create([Published(destination="/queue/y", body=n) for n in range(2)])
    enqueue("/queue/after", {})
    assert [message.destination for message in written] == ["/topic/plain", "/queue/x.v2", "/queue/y", "/queue/y"]
    assert written.bodies("/queue/y") == [0, 1]
    assert written[1].headers["tenant"] == "t"
    assert (written[1].version, written[1].using) == ("v2", "default")
    assert written[0].body["field_one"] == "a"


def test_what_was_rolled_back_is_not_shown() -> None:
    with capture_outbox() as written:
        enqueue("/queue/x", "stays")
        with transaction.atomic():
            enqueue("/queue/x", "goes")
            assert written.bodies() == ["stays", "goes"]
            transaction.set_rollback(True)
    assert written.bodies() == ["stays"]


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
def test_it_is_the_same_where_transactions_commit() -> None:
    with capture_outbox() as written:
        with transaction.atomic():
            enqueue("/queue/x", "goes")
            transaction.set_rollback(True)
        with transaction.atomic():
            enqueue("/queue/x", "stays")
    assert written.bodies() == ["stays"]


def test_the_database_is_told() -> None:
    with capture_outbox() as written:
        enqueue("/queue/x", "here")
        enqueue("/queue/x", "there", using="other")
        Plain(field_one="a", field_two="b").save(using="other")
    assert [message.using for message in written] == ["default", "other", "other"]


def test_what_is_removed_after_the_block_is_still_shown() -> None:
    with capture_outbox() as written:
        enqueue("/queue/x", "was there")
    Published.objects.all().delete()
    assert written.bodies() == ["was there"]


def test_many_messages_are_read_whatever_the_database_takes_at_a_time() -> None:
    with capture_outbox() as written:
        Published.objects.bulk_create(Published(destination="/queue/y", body=n) for n in range(1300))
    assert written.bodies() == list(range(1300))


def test_an_unusable_transaction_does_not_hide_the_error_that_made_it_so() -> None:
    there = enqueue("/queue/x", 1)
    with pytest.raises(IntegrityError), transaction.atomic(), capture_outbox():
        Published.objects.bulk_create([Published(id=there.id, destination="/queue/x", body=2)])


def test_captures_nest() -> None:
    with capture_outbox() as outer:
        enqueue("/queue/x", 1)
        with capture_outbox() as inner:
            enqueue("/queue/x", 2)
    assert (outer.bodies(), inner.bodies()) == ([1, 2], [2])


def test_entering_a_block_costs_no_statement(django_assert_num_queries: object) -> None:
    with django_assert_num_queries(0), capture_outbox():  # type: ignore[operator]
        pass


def test_a_matching_message_satisfies_and_is_returned() -> None:
    with capture_outbox() as written:
        Versioned.objects.create(field_one="a")
        enqueue("/queue/x", {"order": {"id": 7, "lines": [1, 2]}, "paid": True}, headers={"tenant": "t"})
    [found] = written.assert_published("/queue/x", body={"order": {"id": 7}}, headers={"tenant": "t"}, count=1)
    assert found.body["paid"] is True
    written.assert_published("/topic/versioned.v1", body={"field_one": "a"})
    written.assert_published(count=2)
    written.assert_published(body={"order": {"id": 7, "lines": [1, 2]}, "paid": True}, exact=True)
    written.assert_nothing_published("/queue/z")


def test_expectations_may_hold_what_json_writes_as_text() -> None:
    with capture_outbox() as written:
        enqueue("/queue/x", {"amount": "12.50", "day": "2026-01-31"})
    written.assert_published(body={"amount": decimal.Decimal("12.50"), "day": dt.date(2026, 1, 31)})


def test_a_failure_shows_what_was_published_instead() -> None:
    with capture_outbox() as written:
        enqueue("/queue/x", {"id": 1, "paid": True})
        enqueue("/queue/y", {"id": 2})
    with pytest.raises(AssertionError) as caught:
        written.assert_published("/queue/x", body={"id": 2})
    assert str(caught.value).splitlines() == [
        "Expected at least 1 message to '/queue/x' with the body {'id': 2}; found 0.",
        "Published (2):",
        "  1. /queue/x {'id': 1, 'paid': True}",
        "     no match: body['id'] is 1, not 2",
        "  2. /queue/y {'id': 2}",
        "     no match: destination is '/queue/y'",
    ]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"body": {"paid": 1}}, r"body\['paid'\] is True, not 1"),
        ({"body": {"id": 1}, "exact": True}, r"body is \{'id': 1, 'paid': True\}, not \{'id': 1\}"),
        ({"body": {"none": None}}, r"body\['none'\] is missing, not None"),
        ({"headers": {"tenant": "u"}}, r"headers\['tenant'\] is 't', not 'u'"),
        ({"count": 2}, "Expected 2 messages of any kind; found 1"),
        ({"count": 0}, "Expected 0 messages of any kind; found 1"),
    ],
)
def test_a_failure_says_what_differs(wanted: dict[str, object], words: str) -> None:
    enqueue("/queue/x", {"id": 1, "paid": True}, headers={"tenant": "t"})
    with pytest.raises(AssertionError, match=words):
        assert_published(**wanted)  # type: ignore[arg-type]


def test_an_empty_outbox_is_said_to_be_empty() -> None:
    with pytest.raises(AssertionError, match="Nothing was published"):
        assert_published("/queue/x")


def test_without_a_capture_every_row_of_the_database_is_looked_at() -> None:
    Serialized.objects.create(field_one="a", field_two="b")
    assert_published("/topic/first", count=1)
    with pytest.raises(AssertionError):
        assert_published("/topic/first", using="other")
