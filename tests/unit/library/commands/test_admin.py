"""Both tables in the admin: looked at, searched, replayed and parked, with statements that an index answers."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_outbox import store, upkeep
from django_outbox.admin import pages
from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

LIST = "/admin/django_outbox_pattern/published/"
INBOX = "/admin/django_outbox_pattern/received/"


def _write(count: int = 1, destination: str = "/topic/a", **changes: Any) -> list[uuid.UUID]:
    rows = Published.objects.bulk_create(Published(destination=destination, body={"secret": 1}) for _ in range(count))
    ids = [row.pk for row in rows]
    Published.objects.filter(pk__in=ids).update(**changes) if changes else None
    return ids


def _ago(**span: float) -> Any:
    return timezone.now() - timedelta(**span)


def _listed(client: Client, url: str = LIST, **parameters: Any) -> set[str]:
    """The ids that a list shows."""
    page = client.get(url, parameters)
    assert page.status_code == 200
    return set(re.findall(r'name="_selected_action" value="([^"]+)"', page.content.decode())) or {
        match[1] for match in re.finditer(r'field-id"><a href="[^"]*/([0-9a-f-]{36})/change/', page.content.decode())
    }


def _act(client: Client, action: str, *ids: uuid.UUID) -> str:
    data = {"action": action, "_selected_action": [str(row_id) for row_id in ids]}
    return client.post(LIST, data, follow=True).content.decode()


def test_a_row_is_found_by_its_id_and_by_how_that_begins(admin_client: Client) -> None:
    near, far = uuid.UUID("0193b2a4-6c1e-7d10-9a55-2f5a3b8f1c01"), uuid.UUID("0193b2a4-6c1e-7d10-ffff-2f5a3b8f1c01")
    for row_id in (near, far, uuid.UUID(int=1)):
        Published.objects.create(id=row_id, destination="/topic/a", body={})
    assert _listed(admin_client, q=str(near)) == {str(near)}
    assert _listed(admin_client, q=near.hex.upper()) == {str(near)}
    assert _listed(admin_client, q="0193b2a4-6c1e") == {str(near), str(far)}
    assert _listed(admin_client, q="0193b2a4-6c1e-7d10-9") == {str(near)}
    assert _listed(admin_client, q="0193b2a5") == set()


def test_a_destination_is_looked_for_in_what_is_unsent_and_in_the_last_day(admin_client: Client) -> None:
    old = {"added": _ago(days=9)}
    (failed,) = _write(1, "/topic/invoices", status=StatusChoice.FAILED, **old)
    (sent,) = _write(1, "/topic/invoices", status=StatusChoice.SUCCEEDED)
    (long_sent,) = _write(1, "/topic/invoices", status=StatusChoice.SUCCEEDED, **old)
    _write(1, "/topic/orders")
    for parameters in ({"q": "INVOICES"}, {"destination": "/topic/invoices"}):
        assert _listed(admin_client, **parameters) == {str(failed), str(sent)}
        everything = _listed(admin_client, **parameters, status__exact=StatusChoice.SUCCEEDED)
        assert everything == {str(sent), str(long_sent)}


def test_the_choices_of_destinations_come_from_code_recent_rows_and_unsent_ones(admin_client: Client) -> None:
    _write(1, "/topic/recently-sent", status=StatusChoice.SUCCEEDED)
    _write(1, "/topic/parked", status=StatusChoice.FAILED, added=_ago(days=300))
    page = admin_client.get(LIST).content.decode()
    for name in ("/topic/recently-sent", "/topic/parked", "/topic/versioned.v1"):
        assert f">{name}</a>" in page


def test_replay_puts_back_what_failed_or_expired_and_leaves_the_rest(admin_client: Client) -> None:
    (failed,) = _write(1, status=StatusChoice.FAILED, retry=50, last_error="no")
    (expired,) = _write(1, expires_at=_ago(days=1))
    (sent,) = _write(1, status=StatusChoice.SUCCEEDED)
    assert "2 messages will be sent again." in _act(admin_client, "replay", failed, expired, sent)
    assert Published.objects.get(pk=sent).status == StatusChoice.SUCCEEDED
    assert {row.id for row in store.claim(9, 60.0).rows} == {failed, expired}
    assert "Nothing was changed" in _act(admin_client, "replay", sent)


def test_park_marks_waiting_rows_with_who_did_it(admin_client: Client) -> None:
    waiting, held = _write(2)
    Published.objects.filter(pk=held).update(claimed_until=timezone.now() + timedelta(minutes=1))
    assert "1 message parked." in _act(admin_client, "park", waiting, held)
    parked = Published.objects.get(pk=waiting)
    assert (parked.status, parked.last_error) == (StatusChoice.FAILED, "Parked in the admin by admin.")
    assert Published.objects.get(pk=held).status == StatusChoice.SCHEDULE


def test_who_may_only_look_can_do_nothing(client: Client) -> None:
    user = User.objects.create_user("viewer", password="viewer", is_staff=True)
    client.force_login(user)
    assert client.get(LIST).status_code == 403
    user.user_permissions.add(Permission.objects.get(codename="view_published"))
    (failed,) = _write(1, status=StatusChoice.FAILED)
    assert str(failed) in client.get(LIST).content.decode()
    _act(client, "replay", failed)
    assert Published.objects.get(pk=failed).status == StatusChoice.FAILED
    user.user_permissions.add(Permission.objects.get(codename="change_published"))
    _act(client, "replay", failed)
    assert Published.objects.get(pk=failed).status == StatusChoice.SCHEDULE


@pytest.mark.parametrize("url", [LIST, INBOX])
def test_nobody_adds_or_edits(admin_client: Client, url: str) -> None:
    assert admin_client.get(f"{url}add/").status_code == 403
    (row_id,) = _write(1)
    Received.objects.create(id=row_id, msg_id="m-1", body={}, headers={})
    page = admin_client.get(f"{url}{row_id}/change/").content.decode()
    assert 'name="_save"' not in page
    assert "<textarea" not in page
    assert admin_client.post(f"{url}{row_id}/change/", {"destination": "/topic/b"}).status_code == 403


def test_bodies_and_headers_are_shown_for_people_and_cannot_run_as_markup(admin_client: Client) -> None:
    body = {"name": "Zoë <script>alert(1)</script>", "lines": [1]}
    message = Published.objects.create(destination="/topic/a", body=body)
    page = admin_client.get(f"{LIST}{message.pk}/change/").content.decode()
    assert "Zoë &lt;script&gt;" in page
    assert "<script>alert" not in page
    assert "dop-msg-id" in page


def test_a_row_shows_its_key_where_rows_have_one(admin_client: Client) -> None:
    (row_id,) = _write(1)
    has_key = upkeep.has_field(Published, "key")
    assert ("column-key" in admin_client.get(LIST).content.decode()) is has_key
    assert ("field-key" in admin_client.get(f"{LIST}{row_id}/change/").content.decode()) is has_key


def test_a_huge_body_is_cut() -> None:
    assert "characters more" in pages.pretty({"a": "x" * 200_000})


def test_the_list_reads_no_bodies_and_counts_no_table(admin_client: Client) -> None:
    _write(3)
    with CaptureQueriesContext(connection) as queries:
        page = admin_client.get(LIST)
    assert page.status_code == 200
    ours = [query["sql"] for query in queries if 'FROM "published"' in query["sql"]]
    assert not any('"published"."body"' in sql for sql in ours), ours
    counts = [sql for sql in ours if "COUNT(" in sql]
    assert all(f"LIMIT {pages.COUNTED}" in sql for sql in counts), counts
    assert len(ours) <= 6, ours


def test_a_long_list_is_as_long_as_the_database_estimates(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "estimated_rows", lambda _model, _using: 2_500_000)
    _write(3)
    assert "2500000 published" in admin_client.get(LIST).content.decode()
    # A filter is counted instead, and pages end where reading up to them would take too long.
    assert "3 published" in admin_client.get(LIST, {"status__exact": 1}).content.decode()
    rows = pages.EstimatingPaginator(Published.objects.order_by("added"), 100)
    assert rows.num_pages == 1000
    assert list(rows.page(1000)) == []


def test_a_received_message_is_found_by_its_id_and_by_how_that_begins(admin_client: Client) -> None:
    ids = {}
    for msg_id in ("0193b2a4-6c1e", "0193b2a4-7777", "0193b2a", "order_1", "orderx1"):
        ids[msg_id] = str(Received.objects.create(msg_id=msg_id, consumer="q", body={}, headers={}).pk)
    assert _listed(admin_client, INBOX, q="0193b2a4-") == {ids["0193b2a4-6c1e"], ids["0193b2a4-7777"]}
    assert _listed(admin_client, INBOX, q="0193b2a4-7777") == {ids["0193b2a4-7777"]}
    assert _listed(admin_client, INBOX, q="order_") == {ids["order_1"]}
    assert _listed(admin_client, INBOX, q="nothing") == set()


def test_a_search_by_id_uses_the_index(admin_client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(LIST, {"q": "0193b2a4"})
        admin_client.get(INBOX, {"q": "0193b2a4"})
    plans = []
    for query in queries:
        sql = query["sql"]
        if sql.startswith("SELECT") and ("BETWEEN" in sql or "LIKE" in sql) and "COUNT" not in sql:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
                plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))
    assert len(plans) == 2
    assert all("SEARCH" in plan and "SCAN" not in plan for plan in plans), plans
