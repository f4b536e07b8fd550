"""Statements that are kept: the same rows as Django's own way, and that way wherever somebody could tell."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, models, transaction
from django.db.models.signals import post_save, pre_save
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from django_outbox import compiled, inbox
from django_outbox.exceptions import DuplicateMessage
from django_outbox.models import Received

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db

BODY = {"text": 'a "quoted" % word, \u00e4\U0001f600', "deep": [1, 2.5, None, {"x": True}]}
HEADERS = {"destination": "/topic/x", "odd": "100 %s"}


class Visible(models.Manager["WatchedReceived"]):
    """Hides rows."""

    def get_queryset(self) -> models.QuerySet[WatchedReceived]:
        return super().get_queryset().exclude(msg_id="hidden")


class WatchedReceived(models.Model):
    """An inbox of a project that does something when a row is saved."""

    id = models.UUIDField(primary_key=True, default=Received._meta.pk.default)
    msg_id = models.CharField(max_length=100, null=True, unique=True)
    headers = models.JSONField(null=True)
    body = models.JSONField(null=True)
    status = models.IntegerField(default=2)

    objects = Visible()

    class Meta:
        app_label = "events"
        managed = False
        db_table = "watched_received"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Stamp the row."""
        self.status = 7
        super().save(*args, **kwargs)


@pytest.fixture
def watched() -> Iterator[None]:
    """The inbox is a project's own."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE watched_received (id char(32) PRIMARY KEY, msg_id varchar(100) UNIQUE,"
            " headers text, body text, status integer)"
        )
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_RECEIVED_CLASS": f"{__name__}.WatchedReceived"}):
        yield


def _stored(msg_id: str) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT msg_id, consumer, headers, body, retry, status FROM received WHERE msg_id = %s", [msg_id]
        )
        row = cursor.fetchone()
    return dict(zip(("consumer", "headers", "body", "retry", "status"), row[1:], strict=True))


def test_a_row_is_stored_as_save_stores_it() -> None:
    inbox.new_row("billing", "saved", BODY, HEADERS).save()
    row = inbox.new_row("billing", "recorded", BODY, HEADERS)
    inbox.record(row)
    inbox.record_all([inbox.new_row("billing", name, BODY, HEADERS) for name in ("one", "two")])
    assert _stored("recorded") == _stored("saved") == _stored("one") == _stored("two")
    assert json.loads(_stored("recorded")["body"]) == BODY
    found = Received.objects.get(msg_id="recorded")
    assert (found.pk, found.added, found.expires_at) == (row.pk, row.added, row.expires_at)  # type: ignore[attr-defined]
    assert not row._state.adding
    assert row._state.db == "default"


@pytest.mark.parametrize("size", [1, 2, 3, 8, 100])
def test_a_look_and_a_record_are_one_statement_each_however_many_messages(size: int) -> None:
    names = [f"m-{number}" for number in range(size)]
    with CaptureQueriesContext(connection) as queries:
        assert inbox.seen_among("billing", names) == set()
        inbox.record_all([inbox.new_row("billing", name, BODY, HEADERS) for name in names])
        assert inbox.seen_among("billing", [*names, "another", None]) == set(names)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT", "INSERT", "SELECT"]
    assert inbox.seen_among("mailing", names) == set()


def test_more_rows_than_one_statement_can_hold_are_written_in_several() -> None:
    most = connection.ops.bulk_batch_size(Received._meta.local_concrete_fields, [Received()])
    rows = [inbox.new_row("billing", f"m-{number}", {}, {}) for number in range(min(most, 5000) + 1)]
    inbox.record_all(rows)
    assert Received.objects.count() == len(rows)


def test_who_listens_to_saves_hears_of_each() -> None:
    heard: list[str] = []

    def hear(sender: type[models.Model], instance: Received, **_: Any) -> None:
        heard.append(str(instance.msg_id))

    for signal in (pre_save, post_save):
        signal.connect(hear, sender=Received)
        try:
            inbox.record(inbox.new_row("billing", "m-1" if signal is pre_save else "m-2", {}, {}))
        finally:
            signal.disconnect(hear, sender=Received)
    inbox.record(inbox.new_row("billing", "m-3", {}, {}))
    assert heard == ["m-1", "m-2"]


@pytest.mark.usefixtures("watched")
def test_a_save_and_a_manager_of_the_projects_own_are_used() -> None:
    inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    inbox.record(inbox.new_row("billing", "hidden", {}, {}))
    assert WatchedReceived.objects.get(msg_id="m-1").status == 7
    assert inbox.seen("billing", "m-1")
    assert not inbox.seen("billing", "hidden")
    inbox.record_all([inbox.new_row("billing", "m-2", {}, {})])
    assert inbox.seen_among("billing", ["m-1", "m-2", "m-3"]) == {"m-1", "m-2"}


def test_a_key_that_the_database_makes_goes_djangos_way() -> None:
    assert not compiled.insert([models.Model.__new__(Counted)], "default")


class Counted(models.Model):
    """A row whose key the database makes."""

    msg_id = models.CharField(max_length=100)

    class Meta:
        app_label = "events"
        managed = False


def test_after_a_duplicate_the_transaction_can_only_be_rolled_back() -> None:
    inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    with transaction.atomic():
        with pytest.raises(DuplicateMessage):
            inbox.record(inbox.new_row("billing", "m-1", {}, {}))
        assert transaction.get_rollback()
        transaction.set_rollback(True)
    assert Received.objects.count() == 1
