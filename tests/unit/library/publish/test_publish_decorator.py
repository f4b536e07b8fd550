"""Saving a decorated model writes its messages with it."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.core import serializers

from django_outbox.models import Published
from tests.django_project.events import models

pytestmark = pytest.mark.django_db


def _messages() -> list[tuple[str, Any]]:
    return [(message.destination, message.body) for message in Published.objects.order_by("id")]


def test_all_fields_are_published_by_default() -> None:
    saved = models.Plain.objects.create(field_one="One", field_two="Two")
    assert _messages() == [("/topic/plain", {"id": saved.pk, "field_one": "One", "field_two": "Two"})]


def test_a_version_is_part_of_the_destination() -> None:
    saved = models.Versioned.objects.create(field_one="One")
    assert _messages() == [("/topic/versioned.v1", {"id": saved.pk, "field_one": "One"})]
    assert Published.objects.get().version == "v1"


def test_only_the_chosen_fields_are_published() -> None:
    saved = models.Chosen.objects.create(field_one="One", field_two="Two")
    assert _messages() == [("/topic/chosen", {"id": saved.pk, "field_one": "One"})]


def test_each_config_writes_a_message_with_its_own_serializer() -> None:
    saved = models.Serialized.objects.create(field_one="One", field_two="Two")
    assert _messages() == [
        ("/topic/first", {"id": saved.pk, "one": "One"}),
        ("/topic/second", {"id": saved.pk, "two": "Two"}),
    ]


def test_fields_of_every_kind_come_as_json_says_them() -> None:
    author = models.Author.objects.create(name="A")
    saved = models.Rich.objects.create(
        author=author, amount=Decimal("12.50"), day=dt.date(2026, 1, 2), notes={"a": [1]}
    )
    saved.readers.add(author)
    saved.save()
    expected = {"id": saved.pk, "author": author.pk, "amount": "12.50", "day": "2026-01-02", "notes": {"a": [1]}}
    assert [body for _, body in _messages()] == [{**expected, "readers": []}, {**expected, "readers": [author.pk]}]


def test_each_save_publishes_and_a_query_does_not() -> None:
    saved = models.Plain.objects.create(field_one="One", field_two="Two")
    saved.field_one = "Changed"
    saved.save(update_fields=["field_one"])
    models.Plain.objects.update(field_two="Unseen")
    assert [body["field_one"] for _, body in _messages()] == ["One", "Changed"]


def test_the_models_own_save_is_kept() -> None:
    saved = models.OwnSave.objects.create(name="LOUD")
    assert saved.slug == "loud"
    assert _messages() == [("/topic/own-save", {"slug": "loud"})]


def test_a_subclass_publishes_its_parents_message_once_with_the_parents_fields() -> None:
    saved = models.Child.objects.create(name="N", extra="E")
    assert _messages() == [("/topic/parent", {"id": saved.pk, "name": "N"})]


def test_a_subclass_adds_messages_of_its_own_with_all_its_fields() -> None:
    saved = models.Grandchild.objects.create(name="N", extra="E", more="M")
    assert _messages() == [
        ("/topic/parent", {"id": saved.pk, "name": "N"}),
        ("/topic/grandchild", {"id": saved.pk, "name": "N", "extra": "E", "more": "M"}),
    ]


def test_a_fixture_publishes_nothing() -> None:
    saved = models.Plain.objects.create(field_one="One", field_two="Two")
    fixture = serializers.serialize("json", [saved])
    Published.objects.all().delete()
    for document in serializers.deserialize("json", fixture):
        document.save()
    assert _messages() == []


@pytest.mark.django_db(transaction=True)
def test_model_and_message_are_written_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: models.Serialized) -> Any:
        raise RuntimeError("no body")

    monkeypatch.setattr(models.Serialized, "as_second", broken)
    with pytest.raises(RuntimeError):
        models.Serialized.objects.create(field_one="One", field_two="Two")
    assert not models.Serialized.objects.exists()
    assert _messages() == []


@pytest.mark.filterwarnings("ignore:Passing positional arguments to save")
@pytest.mark.django_db(databases=["default", "other"])
def test_the_message_is_written_to_the_database_of_the_model() -> None:
    models.Plain(field_one="One", field_two="Two").save(using="other")
    models.Plain(field_one="One", field_two="Two").save(False, False, "other")
    assert Published.objects.using("other").count() == 2
    assert Published.objects.using("default").count() == 0


@pytest.mark.django_db(databases=["default", "other"])
def test_an_object_that_came_from_a_database_publishes_there() -> None:
    models.Plain(field_one="One", field_two="Two").save(using="other")
    models.Plain.objects.using("other").get().save()
    assert Published.objects.using("other").count() == 2
    assert Published.objects.using("default").count() == 0


def test_save_keeps_its_name_and_signature() -> None:
    assert models.Plain.save.__name__ == "save"
    assert models.Plain.save.alters_data is True  # type: ignore[attr-defined]


def test_the_key_comes_from_an_attribute_a_method_or_a_function() -> None:
    models.Keyed.objects.create(group_id=7, nickname="seven")
    assert list(Published.objects.order_by("id").values_list("key", flat=True)) == ["7", "group 7", "seven"]


def test_a_key_that_is_none_asks_for_no_order() -> None:
    models.Keyed.objects.create(group_id=7, nickname=None)
    assert Published.objects.get(destination="/topic/by-function").key is None
