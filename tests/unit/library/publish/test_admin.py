"""Both tables can be looked at in Django's admin."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received

if TYPE_CHECKING:
    from django.test import Client


@pytest.fixture
def rows(db: None) -> tuple[Published, Published]:
    """A message that waits and one that failed long ago."""
    Received.objects.create(msg_id="m-1", consumer="billing", body={}, headers={"destination": "/topic/r"})
    waiting = Published.objects.create(destination="/topic/waiting", body={})
    failed = Published.objects.create(destination="/topic/failed", body={}, status=StatusChoice.FAILED)
    Published.objects.filter(pk=failed.pk).update(
        expires_at=timezone.now() - timedelta(days=1), last_error="the broker said no"
    )
    return waiting, failed


def test_messages_are_listed_filtered_and_searched(admin_client: Client, rows: tuple[Published, Published]) -> None:
    page = admin_client.get("/admin/django_outbox_pattern/published/").content.decode()
    assert "/topic/waiting" in page
    assert "/topic/failed" in page
    assert "can be published?" in page.lower() or "Can be published?" in page
    only = admin_client.get("/admin/django_outbox_pattern/published/", {"status__exact": -1}).content.decode()
    assert str(rows[0].pk) not in only
    assert str(rows[1].pk) in only
    found = admin_client.get("/admin/django_outbox_pattern/published/", {"q": "waiting"}).content.decode()
    assert str(rows[1].pk) not in found
    assert str(rows[0].pk) in found


def test_a_message_shows_its_error(admin_client: Client, rows: tuple[Published, Published]) -> None:
    page = admin_client.get(f"/admin/django_outbox_pattern/published/{rows[1].pk}/change/").content.decode()
    assert "the broker said no" in page


def test_received_messages_tell_their_consumer(admin_client: Client, rows: tuple[Published, Published]) -> None:
    page = admin_client.get("/admin/django_outbox_pattern/received/").content.decode()
    assert "billing" in page
    assert "/topic/r" in page
