"""``outbox retry`` puts back what was given up, and nothing else; ``outbox purge`` removes what is finished."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_outbox import retention, store, upkeep
from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received
from tests.unit.library.commands.running import outbox

if TYPE_CHECKING:
    import uuid

pytestmark = pytest.mark.django_db

FAILED = {"status": StatusChoice.FAILED, "retry": 50, "last_error": "the broker said no"}


def _ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)


def _write(count: int = 1, destination: str = "/topic/a", **changes: Any) -> list[uuid.UUID]:
    rows = Published.objects.bulk_create(Published(destination=destination, body={}) for _ in range(count))
    ids = [row.pk for row in rows]
    Published.objects.filter(pk__in=ids).update(**changes) if changes else None
    return ids


def _failed() -> int:
    return Published.objects.filter(status=StatusChoice.FAILED).count()


def test_a_failed_row_is_put_back_as_if_it_had_never_failed() -> None:
    (row_id,) = _write(1, **FAILED, next_attempt_at=timezone.now(), expires_at=_ago(days=2))
    ended = outbox("retry", "--all")
    assert (ended.code, ended.out) == (0, "1 row of 1 that fit will be sent again by the next publisher.\n")
    row = Published.objects.get(pk=row_id)
    assert (row.status, row.retry, row.last_error, row.next_attempt_at) == (StatusChoice.SCHEDULE, 0, None, None)
    assert row.expires_at > timezone.now()
    assert [claimed.id for claimed in store.claim(5, 60.0).rows] == [row_id]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--all"], 5),
        (["--all", "--failed"], 4),
        (["--all", "--expired"], 1),
        (["--destination", "/topic/b"], 1),
        (["--error", "SAID NO"], 3),
        (["--older-than", "2h"], 2),
        (["--destination", "/topic/a", "--error", "said no"], 2),
        (["--all", "--limit", "2"], 2),
        (["--destination", "/topic/none"], 0),
    ],
)
def test_retry_changes_exactly_the_rows_that_fit(arguments: list[str], expected: int) -> None:
    _write(1, "/topic/a", **FAILED)
    _write(1, "/topic/a", **FAILED, added=_ago(hours=3))
    _write(1, "/topic/b", **FAILED)
    _write(1, "/topic/a", status=StatusChoice.FAILED, last_error="too large")
    _write(1, "/topic/a", expires_at=_ago(days=1), added=_ago(days=2))
    _write(2, "/topic/a")
    _write(2, "/topic/a", status=StatusChoice.SUCCEEDED, expires_at=_ago(days=1), added=_ago(days=2))
    dry = outbox("retry", *arguments, "--dry-run", "--json").document
    assert dry["changed"] == 0
    before = _failed() + Published.objects.filter(expires_at__lt=timezone.now(), status=StatusChoice.SCHEDULE).count()
    changed = outbox("retry", *arguments, "--json").document["changed"]
    after = _failed() + Published.objects.filter(expires_at__lt=timezone.now(), status=StatusChoice.SCHEDULE).count()
    assert (changed, before - after) == (expected, expected)
    assert Published.objects.filter(status=StatusChoice.SUCCEEDED).count() == 2


def test_retry_takes_ids() -> None:
    ids = _write(3, **FAILED)
    assert outbox("retry", "--id", str(ids[0]), "--id", str(ids[2]), "--json").document["changed"] == 2
    assert Published.objects.get(pk=ids[1]).status == StatusChoice.FAILED


def test_a_dry_run_changes_nothing() -> None:
    _write(3, **FAILED)
    assert "3 rows would fit" in outbox("retry", "--all", "--dry-run").out
    assert _failed() == 3


def test_a_row_that_a_publisher_holds_is_left_to_it() -> None:
    _write(1, expires_at=_ago(days=1))
    store.claim(1, 60.0)
    assert outbox("retry", "--all", "--json").document["matched"] == 0


def test_many_rows_are_put_back_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "BATCH", 10)
    _write(35, **FAILED)
    with CaptureQueriesContext(connection) as queries:
        outbox("retry", "--all")
    updates = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert (len(updates), _failed()) == (4, 0)


def test_rows_that_fail_again_meanwhile_do_not_make_it_go_round_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    _write(3, **FAILED)
    monkeypatch.setattr(upkeep, "BATCH", 1)
    rows = upkeep.select(upkeep.Selection(), "default")
    rounds = 0
    for _ in upkeep.put_back(rows, 3):
        Published.objects.update(**FAILED)
        rounds += 1
    assert rounds == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["retry"], "Say which rows"),
        (["retry", "--id", "17"], "is no id of a row"),
        (["retry", "--older-than", "soon"], "write it like 90s, 15m, 2h, 30d or 1w"),
        (["retry", "--all", "--database", "nowhere"], "There is no database 'nowhere'"),
        (["retry", "--all", "--failed", "--expired"], "not allowed with argument"),
        (["retry", "--all", "--limit", "0"], "0 is not above 0"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        ([], "required: SUBCOMMAND"),
    ],
)
def test_wrong_usage_is_one_line_that_says_what_to_do(arguments: list[str], words: str) -> None:
    ended = outbox(*arguments)
    assert ended.code == 1
    assert words in ended.err
    assert "\n" not in ended.err.strip()


def test_purge_removes_finished_rows_of_both_tables_and_keeps_the_rest() -> None:
    old = {"added": _ago(days=40)}
    _write(3, status=StatusChoice.SUCCEEDED, **old)
    _write(1, status=StatusChoice.SUCCEEDED)
    _write(1, **old)
    _write(1, **FAILED, **old)
    Received.objects.bulk_create(Received(msg_id=str(number), body={}, headers={}) for number in range(4))
    Received.objects.filter(msg_id__in=["0", "1"]).update(**old)
    assert outbox("purge", "--dry-run", "--json").document["published"]["found"] == 3
    document = outbox("purge", "--json").document
    assert (document["published"]["removed"], document["received"]["removed"]) == (3, 2)
    assert (Published.objects.count(), Received.objects.count()) == (3, 2)


def test_purge_goes_by_the_age_and_the_table_that_it_is_given() -> None:
    _write(2, status=StatusChoice.SUCCEEDED, added=_ago(hours=3))
    Received.objects.create(msg_id="1", body={}, headers={})
    Received.objects.update(added=_ago(hours=3))
    document = outbox("purge", "--older-than", "2h", "--table", "published", "--json").document
    assert document["published"]["removed"] == 2
    assert "received" not in document
    assert Received.objects.count() == 1


def test_purge_stops_at_its_limit() -> None:
    _write(5, status=StatusChoice.SUCCEEDED, added=_ago(days=40))
    assert outbox("purge", "--limit", "2", "--json").document["published"]["removed"] == 2
    assert Published.objects.count() == 3


def test_purge_asks_for_an_age_where_the_settings_keep_everything() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DAYS_TO_KEEP_DATA": None}):
        ended = outbox("purge")
    assert (ended.code, "--older-than 30d" in ended.err) == (1, True)


def test_purge_works_in_bites(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django_outbox.cli.purge.BITE", 2)
    assert retention.BITE > 2
    _write(5, status=StatusChoice.SUCCEEDED, added=_ago(days=40))
    with CaptureQueriesContext(connection) as queries:
        outbox("purge", "--table", "published")
    assert len([query for query in queries if query["sql"].startswith("DELETE")]) == 3
