"""``outbox status`` and ``outbox audit`` tell what is there, and ``status`` never counts a whole table."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_outbox import store, upkeep
from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received
from tests.unit.library.commands.running import outbox

pytestmark = pytest.mark.django_db


def _write(count: int = 1, destination: str = "/topic/a", **changes: Any) -> list[uuid.UUID]:
    """Write rows, then make of them what their own save() would not."""
    rows = Published.objects.bulk_create(Published(destination=destination, body={}) for _ in range(count))
    ids = [row.pk for row in rows]
    Published.objects.filter(pk__in=ids).update(**changes) if changes else None
    return ids


def _ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)


def test_an_empty_outbox_is_said_to_be_empty() -> None:
    ended = outbox("status")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "Nothing waits to be sent, nothing has failed.")


def test_status_shows_each_destination_with_its_oldest() -> None:
    _write(2, "/topic/a", added=_ago(hours=2, minutes=3))
    _write(1, "/topic/b", status=StatusChoice.FAILED)
    _write(3, "/topic/done", status=StatusChoice.SUCCEEDED)
    lines = outbox("status").out.splitlines()
    assert lines[0].split() == ["DESTINATION", "PENDING", "OLDEST", "FAILED"]
    assert lines[1].split() == ["/topic/a", "2", "2", "h", "3", "min", "0"]
    assert lines[2].split() == ["/topic/b", "0", "-", "1"]
    assert "/topic/done" not in "\n".join(lines)


def test_status_counts_what_a_publisher_holds_and_what_rests() -> None:
    _write(3)
    store.claim(1, 60.0)
    _write(2, next_attempt_at=timezone.now() + timedelta(hours=1))
    document = outbox("status", "--json").document
    assert (document["pending"], document["claimed"], document["resting"], document["failed"]) == (5, 1, 2, 0)


def test_the_json_of_status_has_the_documented_keys() -> None:
    _write(1)
    document = outbox("status", "--json").document
    assert list(document) == [
        *("database", "pending", "failed", "claimed", "resting", "oldest_pending"),
        *("destinations", "blocked_keys", "estimated_rows"),
    ]
    assert list(document["destinations"][0]) == ["destination", "pending", "failed", "oldest_pending"]


def test_status_estimates_the_inbox_and_never_counts_finished_rows() -> None:
    Received.objects.bulk_create(Received(msg_id=str(number), body={}, headers={}) for number in range(7))
    with CaptureQueriesContext(
        connection,
    ) as queries:
        document = outbox("status", "--json").document
    assert document["estimated_rows"]["received"] == 7
    counting = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counting
    assert all('"status" = 1' in sql or '"status" IN' in sql for sql in counting), counting


def test_no_line_of_status_is_wider_than_a_terminal() -> None:
    _write(1, "/exchange/a-very-long-exchange/" + "key." * 40)
    assert max(map(len, outbox("status").out.splitlines())) <= 80


def test_a_table_without_an_estimate_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_ESTIMATES", {})
    assert outbox("status", "--json").document["estimated_rows"] == {"published": None, "received": None}
    assert "about" not in outbox("status").out


def test_an_audit_of_a_healthy_outbox_finds_nothing() -> None:
    _write(3)
    _write(1, status=StatusChoice.SUCCEEDED, expires_at=_ago(days=9), headers={})
    ended = outbox("audit")
    assert (ended.code, ended.out) == (0, "Nothing was left behind.\n")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("expired", {"expires_at": _ago(days=1)}),
        ("failed", {"status": StatusChoice.FAILED, "last_error": "no"}),
        ("headerless", {"headers": {}}),
        ("lapsed", {"claim_token": uuid.uuid4(), "claimed_until": _ago(minutes=1)}),
    ],
)
def test_an_audit_finds_what_was_left_behind(kind: str, changes: dict[str, Any]) -> None:
    _write(2)
    ids = _write(4, **changes)
    ended = outbox("audit", "--json")
    assert ended.code == 2
    found = ended.document
    assert {name: found[name]["count"] for name in found if name != "database"} == {
        **dict.fromkeys(("expired", "failed", "headerless", "lapsed"), 0),
        kind: 4,
    }
    assert len(found[kind]["examples"]) == 3
    assert set(found[kind]["examples"]) <= {str(row_id) for row_id in ids}
    words = outbox("audit").out
    assert f"4 {kind}, the oldest" in words
    assert "To do: " in words


def test_a_row_that_a_publisher_sends_right_now_is_not_called_expired() -> None:
    _write(1, expires_at=_ago(days=1))
    store.claim(1, 60.0)
    assert outbox("audit").code == 0


@pytest.mark.parametrize("kind", ["failed", "expired"])
def test_what_an_audit_advises_works(kind: str) -> None:
    _write(1, **({"status": StatusChoice.FAILED} if kind == "failed" else {"expires_at": _ago(days=2)}))
    advice = outbox("audit").out
    (command,) = re.findall(rf"`outbox (retry [^`]*--{kind})`", advice)
    assert outbox(*command.split(), "--json").document["changed"] == 1
    assert outbox("audit").code == 0
