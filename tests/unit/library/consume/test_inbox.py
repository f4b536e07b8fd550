"""How messages are told apart, and who has handled which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import IntegrityError, models, transaction
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from django_outbox import compiled, copying, inbox
from django_outbox.exceptions import DuplicateMessage
from django_outbox.models import Received

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.mark.parametrize(
    ("headers", "identity"),
    [
        ({"cap-msg-id": "1", "dop-msg-id": "2", "amqp-message-id": "3", "message-id": "4"}, "1"),
        ({"dop-msg-id": "2", "amqp-message-id": "3", "message-id": "4"}, "2"),
        ({"amqp-message-id": "3", "message-id": "4"}, "3"),
        ({"cap-msg-id": "", "dop-msg-id": "2"}, "2"),
        ({"message-id": "ID:broker-41234-1700000000-2:1"}, "ID:broker-41234-1700000000-2:1"),
        ({"message-id": "T_1@@session-abc@@1"}, None),
        ({"message-id": "17"}, None),
        ({}, None),
    ],
)
def test_a_message_is_known_by_the_id_that_all_its_deliveries_share(
    headers: dict[str, str], identity: str | None
) -> None:
    assert inbox.message_identity(headers) == identity


@given(st.text(min_size=1, max_size=400))
def test_every_identity_fits_its_column(value: str) -> None:
    identity = inbox.message_identity({"dop-msg-id": value})
    assert identity is not None
    assert len(identity) <= inbox.MAX_ID_LENGTH
    assert identity == inbox.message_identity({"dop-msg-id": value})


def test_long_ids_that_differ_at_the_end_stay_different() -> None:
    one, two = (inbox.message_identity({"dop-msg-id": "x" * 10_000 + end}) for end in "ab")
    assert one != two


@pytest.mark.django_db
def test_a_message_is_seen_by_the_consumer_that_recorded_it_and_by_no_other() -> None:
    inbox.record(inbox.new_row("billing", "m-1", {"a": 1}, {"dop-msg-id": "m-1"}))
    assert inbox.seen("billing", "m-1")
    assert not inbox.seen("mailing", "m-1")
    assert not inbox.seen("billing", "m-2")


@pytest.mark.django_db
def test_a_row_of_the_former_library_counts_for_every_consumer() -> None:
    Received.objects.create(msg_id="m-1")
    assert inbox.seen("billing", "m-1")
    assert inbox.seen("mailing", "m-1")


@pytest.mark.django_db
def test_messages_without_an_identity_are_never_seen_and_never_collide() -> None:
    for _ in range(2):
        inbox.record(inbox.new_row("billing", None, {}, {}))
    assert not inbox.seen("billing", None)
    assert Received.objects.count() == 2


@pytest.mark.django_db
def test_recording_a_message_again_is_named_a_duplicate() -> None:
    inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    with pytest.raises(DuplicateMessage, match="m-1"), transaction.atomic():
        inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    inbox.record(inbox.new_row("mailing", "m-1", {}, {}))


class OldReceived(models.Model):
    """An inbox that a project wrote for the former library."""

    msg_id = models.CharField(max_length=100, null=True, unique=True)
    headers = models.JSONField(null=True)
    body = models.JSONField(null=True)
    status = models.IntegerField(default=2)

    class Meta:
        app_label = "events"
        managed = False
        db_table = "old_received"


@pytest.mark.django_db
@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_RECEIVED_CLASS": f"{__name__}.OldReceived"})
def test_an_inbox_that_knows_no_consumers_works_as_it_did() -> None:
    from django.db import connection  # noqa: PLC0415 - the database is there only within the test

    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE old_received (id integer PRIMARY KEY, msg_id varchar(100) UNIQUE,"
            " headers text, body text, status integer)"
        )
    assert inbox.schema_problem() is None
    inbox.record(inbox.new_row("billing", "m-1", {}, {}))
    assert inbox.seen("mailing", "m-1")


@pytest.mark.django_db
def test_a_migrated_database_has_no_schema_problem() -> None:
    assert inbox.schema_problem() is None


@pytest.mark.django_db
@override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_RECEIVED_CLASS": f"{__name__}.OldReceived"})
def test_a_database_that_was_not_migrated_is_named_with_the_command_to_run() -> None:
    problem = inbox.schema_problem()
    assert problem is not None
    assert "no table 'old_received'" in problem
    assert "manage.py migrate" in problem


@pytest.mark.django_db
def test_beside_the_former_library_a_message_is_handled_once_whatever_the_queue() -> None:
    inbox.record(inbox.new_row("billing", "before", {}, {}))
    with override_settings(DJANGO_OUTBOX_PATTERN={"INBOX_PER_QUEUE": False}):
        assert inbox.seen("mailing", "before")
        inbox.record(inbox.new_row("billing", "m-1", {}, {}))
        assert inbox.seen("mailing", "m-1")
        with pytest.raises(DuplicateMessage), transaction.atomic():
            inbox.record(inbox.new_row("mailing", "m-1", {}, {}))
        with pytest.raises(IntegrityError), transaction.atomic():
            Received.objects.create(msg_id="m-1")
    assert inbox.seen("mailing", "m-1")


@pytest.mark.django_db
@pytest.mark.parametrize("allowed", [True, False])
def test_many_rows_are_copied_unless_row_level_security_forbids_it(
    monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    copied: list[int] = []

    def copy(rows: Sequence[Received], _using: str) -> bool:
        copied.append(len(rows))
        return True

    monkeypatch.setattr(copying, "suits", lambda _rows, _using: True)
    monkeypatch.setattr(copying, "copy", copy)
    monkeypatch.setattr(inbox, "_takes_copy", lambda _table, _using: allowed)
    inbox.record_all([inbox.new_row("billing", f"m-{number}", {}, {}) for number in range(60)])
    assert (copied, Received.objects.count()) == (([60], 0) if allowed else ([], 60))


@pytest.mark.django_db
def test_a_model_with_a_manager_of_its_own_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "suits", lambda _rows, _using: True)
    monkeypatch.setattr(compiled, "has_plain_queries", lambda _model: False)
    inbox.record_all([inbox.new_row("billing", f"m-{number}", {}, {}) for number in range(60)])
    assert Received.objects.count() == 60
