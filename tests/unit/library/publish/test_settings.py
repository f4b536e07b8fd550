"""Settings are read when they are used."""

from __future__ import annotations

import typing

import pytest
from django.test import override_settings

from django_outbox import settings
from django_outbox.models import Published


def test_a_project_without_settings_has_the_documented_defaults() -> None:
    assert settings.DEFAULT_CONNECTION_CLASS == "stomp.StompConnection12"
    assert settings.DEFAULT_STOMP_HOST_AND_PORTS == [("127.0.0.1", 61613)]
    assert (settings.DEFAULT_MAXIMUM_RETRY_ATTEMPTS, settings.DEFAULT_PAUSE_FOR_RETRY) == (50, 240)
    assert settings.DEFAULT_WAIT_RETRY == 60
    assert settings.DEFAULT_STOMP_QUEUE_HEADERS == {
        "durable": "true",
        "auto-delete": "false",
        "prefetch-count": "1",
    }


def test_an_overridden_setting_is_seen_at_once_and_forgotten_again() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_WAIT_RETRY": 7}):
        assert settings.DEFAULT_WAIT_RETRY == 7
    assert settings.DEFAULT_WAIT_RETRY == 60


def test_a_constant_can_be_assigned_as_older_tests_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEFAULT_WAIT_RETRY", 1)
    assert settings.DEFAULT_WAIT_RETRY == 1


def test_the_misspelled_key_of_0_15_still_works() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DAFAULT_EXCLUSIVE_QUEUE": True}):
        assert settings.DEFAULT_EXCLUSIVE_QUEUE is True
    with override_settings(DJANGO_OUTBOX_PATTERN={"DAFAULT_EXCLUSIVE_QUEUE": True, "DEFAULT_EXCLUSIVE_QUEUE": False}):
        assert settings.DEFAULT_EXCLUSIVE_QUEUE is False


def test_the_older_chunk_size_sets_the_batch_unless_the_new_key_does() -> None:
    assert settings.PUBLISH_BATCH_SIZE == 500
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_PUBLISHED_CHUNK_SIZE": "70"}):
        assert settings.PUBLISH_BATCH_SIZE == 70
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_PUBLISHED_CHUNK_SIZE": 70, "PUBLISH_BATCH_SIZE": 10}):
        assert settings.PUBLISH_BATCH_SIZE == 10


def test_numbers_may_come_as_text() -> None:
    as_text = {"DEFAULT_PRODUCER_WAITING_TIME": "2", "RECEIPT_TIMEOUT": "0.5", "METRICS_PORT": "9090"}
    with override_settings(DJANGO_OUTBOX_PATTERN=as_text):
        assert settings.DEFAULT_PRODUCER_WAITING_TIME == 2
        assert settings.RECEIPT_TIMEOUT == 0.5
        assert settings.METRICS_PORT == 9090


def test_text_that_looks_like_a_number_stays_text_where_text_is_meant() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_STOMP_PASSCODE": "12345"}):
        assert settings.DEFAULT_STOMP_PASSCODE == "12345"


def test_changing_a_value_that_was_read_changes_no_setting() -> None:
    settings.DEFAULT_STOMP_QUEUE_HEADERS["x-queue-name"] = "mine"
    settings.DEFAULT_STOMP_HOST_AND_PORTS.append(("other", 1))
    assert "x-queue-name" not in settings.DEFAULT_STOMP_QUEUE_HEADERS
    assert len(settings.DEFAULT_STOMP_HOST_AND_PORTS) == 1
    own = {"DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true"}}
    with override_settings(DJANGO_OUTBOX_PATTERN=own):
        settings.DEFAULT_STOMP_QUEUE_HEADERS["x-queue-name"] = "mine"
        assert own == {"DEFAULT_STOMP_QUEUE_HEADERS": {"durable": "true"}}


def test_the_settings_object_of_0_9_imports_what_is_named_by_path() -> None:
    assert settings.settings.DEFAULT_PUBLISHED_CLASS is Published
    assert settings.settings.DEFAULT_WAIT_RETRY == 60
    assert settings.settings.DEFAULT_STOMP_CERT_VALIDATOR is None


def test_a_setting_that_does_not_exist_names_the_one_that_was_meant() -> None:
    with pytest.raises(AttributeError, match="DEFAULT_WAIT_RETRY"):
        getattr(settings, "DEFAULT_WAIT_RETY")  # noqa: B009


def test_each_key_has_a_type_for_type_checkers_and_a_meaning_for_people() -> None:
    annotated = set(typing.get_type_hints(settings, localns={"Callable": typing.Callable, "Mapping": typing.Mapping}))
    assert settings.KEYS.keys() <= annotated
    assert all(key.meaning.endswith(".") for key in settings.KEYS.values())


def test_each_default_passes_its_own_check() -> None:
    wrong = {name: key.validate(key.default) for name, key in settings.KEYS.items() if key.validate(key.default)}
    assert wrong == {}
