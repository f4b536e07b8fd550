"""Rows that are written past Django's compiler: the same as by its own ``save()``, and that wherever it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, models, transaction
from django.db.models.functions import Now
from django.db.models.signals import post_save, pre_init
from django.test import override_settings
from django.test.utils import CaptureQueriesContext, isolate_apps
from django.utils import timezone

from django_outbox import compiled
from django_outbox.models import Published

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.django_db

BODY = {"text": 'a "quoted" % \\ word,\n\tä\U0001f600', "deep": [1, 2.5, None, {"x": True}]}
GIVEN: dict[str, Any] = {"destination": "/topic/%s", "body": BODY, "headers": {"tenant": 'a"b'}, "version": "v1"}
OWN = {"id", "added", "expires_at", "headers"}


def _stored(row: models.Model) -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM published WHERE id = %s", [row.pk.hex])
        columns = [column[0] for column in cursor.description]
        found = dict(zip(columns, cursor.fetchone(), strict=True))
    return {name: value for name, value in found.items() if name not in OWN}


def _by_django() -> Published:
    def hear(**_: Any) -> None:
        heard.append(1)

    heard: list[int] = []
    post_save.connect(hear, sender=Published)
    try:
        row = Published.objects.create(**GIVEN)
    finally:
        post_save.disconnect(hear, sender=Published)
    assert heard == [1]
    return row


def _saved() -> Published:
    row = Published(**GIVEN)
    row.save()
    return row


@pytest.mark.parametrize(
    "write",
    [
        lambda: Published.objects.create(**GIVEN),
        _saved,
        lambda: Published.objects.bulk_create([Published(**GIVEN) for _ in range(60)])[-1],
        lambda: Published.objects.bulk_create([Published(**GIVEN)], batch_size=10)[-1],
    ],
)
def test_a_row_is_stored_as_django_stores_it(write: Callable[[], Published]) -> None:
    row = write()
    assert _stored(row) == _stored(_by_django())
    found = Published.objects.get(pk=row.pk)
    assert (found.body, found.headers, found.added, found.expires_at) == (BODY, row.headers, row.added, row.expires_at)
    assert row.headers["dop-msg-id"] == str(row.pk)
    assert (row._state.adding, row._state.db) == (False, "default")


def test_values_that_the_database_works_out_go_djangos_way() -> None:
    row = Published.objects.create(destination="/topic/a", body={}, expires_at=Now())
    [other] = Published.objects.bulk_create([Published(destination="/topic/a", body={}, expires_at=Now())])
    for written in (row, other):
        written.refresh_from_db()
        assert written.expires_at <= timezone.now()


@isolate_apps("tests.django_project.events")
def test_a_save_between_ours_and_djangos_is_asked() -> None:
    asked: list[dict[str, Any]] = []

    class Mixin(models.Model):
        class Meta:
            abstract = True

        def save(self, *args: Any, **kwargs: Any) -> None:
            asked.append(kwargs)
            super().save(*args, **kwargs)

    class Mixed(Published, Mixin):
        class Meta:
            proxy = True
            app_label = "events"

    with CaptureQueriesContext(connection) as queries:
        Mixed(destination="/topic/a", body={}).save()
    assert [query["sql"].split()[0] for query in queries] == ["INSERT"]
    assert asked == [{}]


def test_a_row_that_is_there_is_updated() -> None:
    row = Published.objects.create(destination="/topic/a", body={})
    row.retry = 3
    with CaptureQueriesContext(connection) as queries:
        row.save(update_fields=["retry"])
        row.save()
    assert [query["sql"].split()[0] for query in queries] == ["UPDATE", "UPDATE"]


def test_a_row_that_is_there_is_not_written_twice() -> None:
    row = Published.objects.create(destination="/topic/a", body={})
    for again in (
        lambda: Published.objects.create(pk=row.pk, destination="/topic/a", body={}),
        lambda: Published.objects.bulk_create([Published(id=row.id, destination="/topic/a", body={})]),
    ):
        with pytest.raises(Exception, match="UNIQUE"), transaction.atomic():
            again()


@pytest.mark.parametrize("given", [{}, {"destination": "/topic/a", "body": {}}, {"pk": 7}, {"id": None, "status": 2}])
def test_an_instance_is_made_as_django_makes_it(given: dict[str, Any]) -> None:
    ours, djangos = Published(**given), Published.__new__(Published)
    models.Model.__init__(djangos, **given)
    apart = {"_state", "added", "expires_at"} | ({"id"} if not {"id", "pk"} & given.keys() else set())
    assert ours.__dict__.keys() == djangos.__dict__.keys()
    for name in ours.__dict__.keys() - apart:
        assert getattr(ours, name) == getattr(djangos, name)
    assert ours.headers is not Published(**given).headers


def test_what_is_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        Published(destination="/topic/a", colour="red")


def test_who_listens_to_new_instances_hears_the_names() -> None:
    heard: list[dict[str, Any]] = []

    def hear(kwargs: dict[str, Any], **_: Any) -> None:
        heard.append(dict(kwargs))

    pre_init.connect(hear, sender=Published)
    try:
        Published(destination="/topic/a", body={})
    finally:
        pre_init.disconnect(hear, sender=Published)
    assert heard == [{"destination": "/topic/a", "body": {}}]


def test_many_rows_go_where_writing_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(compiled, "insert", lambda _rows, using: bool(written.append(using)) or True)

    class Router:
        def db_for_read(self, model: Any, **_: Any) -> str:
            return "other"

        def db_for_write(self, model: Any, **_: Any) -> str:
            return "default"

    with override_settings(DATABASE_ROUTERS=[Router()]):
        Published.objects.bulk_create([Published(destination="/topic/a", body={})])
    assert written == ["default"]
