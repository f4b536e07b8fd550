"""Finished rows go when they are old; nothing else ever does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import override_settings
from django.utils import timezone

from django_outbox import metrics, retention
from django_outbox.choices import StatusChoice
from django_outbox.models import Published, Received
from django_outbox.retention import Janitor, purge

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_cache() -> None:
    cache.clear()


def _old(count: int, status: int = StatusChoice.SUCCEEDED, days: float = 31) -> None:
    made = Published.objects.bulk_create(
        Published(destination="/topic/a", body={}, status=status) for _ in range(count)
    )
    added = timezone.now() - timedelta(days=days)
    Published.objects.filter(pk__in=[message.pk for message in made]).update(added=added)


def _removed(table: str) -> float:
    return metrics.PURGED.labels(table=table)._value.get()


def test_rows_that_were_sent_go_after_thirty_days() -> None:
    _old(2)
    _old(3, days=29)
    before = _removed("published")
    assert purge(Published) == 2
    assert Published.objects.count() == 3
    assert _removed("published") - before == 2


@pytest.mark.parametrize("status", [StatusChoice.SCHEDULE, StatusChoice.FAILED])
def test_rows_that_were_not_sent_never_go(status: int) -> None:
    _old(2, status=status, days=3650)
    assert purge(Published) == 0
    assert Published.objects.count() == 2


def test_a_project_may_keep_rows_longer_or_for_ever() -> None:
    _old(1)
    with override_settings(DJANGO_OUTBOX_PATTERN={"DAYS_TO_KEEP_DATA": 60}):
        assert purge(Published) == 0
    with override_settings(DJANGO_OUTBOX_PATTERN={"DAYS_TO_KEEP_DATA": None}):
        assert purge(Published) == 0
    assert purge(Published) == 1


def test_many_rows_go_in_bites_and_a_stop_leaves_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BITE", 2)
    _old(5)
    assert purge(Published, should_stop=lambda _seconds: True) == 2
    assert purge(Published) == 3


def test_the_inbox_is_cleaned_the_same_way() -> None:
    Received.objects.create(msg_id="old")
    Received.objects.update(added=timezone.now() - timedelta(days=31))
    Received.objects.create(msg_id="new")
    assert Janitor.of_received().purge_if_due() == 1
    assert Received.objects.get().msg_id == "new"


def test_the_next_purge_waits_for_its_time() -> None:
    _old(1)
    assert Janitor.of_published().purge_if_due() == 1
    _old(1)
    assert Janitor.of_published().purge_if_due() == 0
    cache.delete("remove_old_messages_django_outbox_pattern_publisher")
    assert Janitor.of_published().purge_if_due() == 1


def test_a_janitor_stops_at_once_with_its_worker() -> None:
    janitor = Janitor.of_published()
    with janitor:
        assert janitor._thread.is_alive()
    assert not janitor._thread.is_alive()
