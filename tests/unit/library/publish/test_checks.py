"""A wrong setting is a system check message that says what to write instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.checks import run_checks
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps

from django_outbox import checks, decorators
from django_outbox.decorators import Config, publish

if TYPE_CHECKING:
    from pathlib import Path


def _messages(**configured: Any) -> list[tuple[str, str, str]]:
    with override_settings(DJANGO_OUTBOX_PATTERN=configured):
        found = [*checks.check_settings(), *checks.check_imports(), *checks.check_relations(), *checks.check_models()]
        found += checks.check_tls_files()
    return [(message.id or "", message.msg, message.hint or "") for message in found]


def test_the_defaults_raise_no_objection() -> None:
    assert _messages() == []
    assert checks.first_error() is None


def test_django_runs_our_checks_with_its_own() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_WAIT_RETRY": "soon"}):
        assert "django_outbox.E002" in [message.id for message in run_checks()]


def test_settings_that_are_no_dict_are_an_error() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN=["DEFAULT_WAIT_RETRY"]):
        assert [message.id for message in checks.check_settings()] == ["django_outbox.E001"]
        assert "must be a dict" in (checks.first_error() or "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEFAULT_WAIT_RETRY", -1),
        ("DEFAULT_WAIT_RETRY", True),
        ("DEFAULT_WAIT_RETRY", float("nan")),
        ("DEFAULT_MAXIMUM_RETRY_ATTEMPTS", 0),
        ("DEFAULT_MAXIMUM_RETRY_ATTEMPTS", 1.5),
        ("PUBLISH_BATCH_SIZE", "many"),
        ("DEFAULT_STOMP_HOST_AND_PORTS", "rabbitmq:61613"),
        ("DEFAULT_STOMP_HOST_AND_PORTS", []),
        ("DEFAULT_STOMP_HOST_AND_PORTS", [("rabbitmq", "61613")]),
        ("DEFAULT_STOMP_HOST_AND_PORTS", [("rabbitmq", 0)]),
        ("DEFAULT_STOMP_HEARTBEATS", 10000),
        ("DEFAULT_STOMP_HEARTBEATS", (10000,)),
        ("DEFAULT_STOMP_USE_SSL", "yes"),
        ("DEFAULT_STOMP_VHOST", None),
        ("DEFAULT_STOMP_QUEUE_HEADERS", [("durable", "true")]),
        ("DEFAULT_GENERATE_HEADERS", "not a path"),
        ("METRICS_PORT", 70000),
        ("DAFAULT_EXCLUSIVE_QUEUE", "no"),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_error_with_the_default_as_a_hint(name: str, value: Any) -> None:
    [(id_, message, hint)] = _messages(**{name: value})
    assert id_ == "django_outbox.E002"
    assert name in message
    assert "must be" in message
    assert "Default:" in hint


def test_a_secret_of_the_wrong_kind_is_not_shown() -> None:
    [(id_, message, hint)] = _messages(DEFAULT_STOMP_PASSCODE=123456789)
    assert id_ == "django_outbox.E002"
    assert "123456789" not in message + hint


def test_an_unknown_key_is_a_warning_that_names_the_one_that_was_meant() -> None:
    [(id_, message, hint)] = _messages(DEFAULT_STOMP_HOSTS_AND_PORT=[("rabbitmq", 61613)])
    assert id_ == "django_outbox.W001"
    assert "no effect" in message
    assert "DEFAULT_STOMP_HOST_AND_PORTS" in hint


def test_a_key_that_does_nothing_any_more_is_a_warning() -> None:
    assert [id_ for id_, _, _ in _messages(DEFAULT_CONSUMER_PROCESS_MSG_WORKERS=4)] == ["django_outbox.W002"]


def test_a_path_that_does_not_import_is_an_error() -> None:
    [(id_, message, _)] = _messages(DEFAULT_GENERATE_HEADERS="nowhere.to.be.found")
    assert id_ == "django_outbox.E003"
    assert "nowhere" in message


def test_a_lease_that_ends_before_the_receipts_come_is_an_error() -> None:
    assert [id_ for id_, _, _ in _messages(CLAIM_LEASE=30, RECEIPT_TIMEOUT=30)] == ["django_outbox.E004"]
    assert _messages(CLAIM_LEASE=61, RECEIPT_TIMEOUT=30) == []


def test_an_outbox_model_without_the_publishers_columns_is_an_error() -> None:
    [(id_, message, _)] = _messages(DEFAULT_PUBLISHED_CLASS="django.contrib.auth.models.Group")
    assert id_ == "django_outbox.E005"
    assert "claim_token" in message


def test_tls_without_verification_is_a_warning() -> None:
    [(id_, message, _)] = _messages(DEFAULT_STOMP_USE_SSL=True, DEFAULT_STOMP_SSL_VERIFY=False)
    assert id_ == "django_outbox.W003"
    assert "not verified" in message
    assert _messages(DEFAULT_STOMP_USE_SSL=True) == []


@pytest.mark.parametrize("name", ["DEFAULT_STOMP_CA_CERTS", "DEFAULT_STOMP_CERT_FILE"])
def test_a_tls_file_that_is_missing_is_a_warning_that_names_it(name: str, tmp_path: Path) -> None:
    [(id_, message, hint)] = _messages(**{"DEFAULT_STOMP_USE_SSL": True, name: tmp_path / "missing.pem"})
    assert id_ == "django_outbox.W007"
    assert name in message
    assert "missing.pem" in message
    assert "mount the file" in hint


def test_tls_files_that_are_there_raise_no_objection(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    assert _messages(DEFAULT_STOMP_USE_SSL=True, DEFAULT_STOMP_CA_CERTS=str(tmp_path / "ca.pem")) == []


def test_tls_files_without_tls_are_a_warning(tmp_path: Path) -> None:
    [(id_, message, hint)] = _messages(DEFAULT_STOMP_CA_CERTS=str(tmp_path))
    assert id_ == "django_outbox.W007"
    assert "no effect" in message
    assert "DEFAULT_STOMP_USE_SSL" in hint


def test_a_key_without_its_certificate_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "key.pem").touch()
    [(id_, message, _)] = _messages(DEFAULT_STOMP_USE_SSL=True, DEFAULT_STOMP_KEY_FILE=str(tmp_path / "key.pem"))
    assert id_ == "django_outbox.W007"
    assert "DEFAULT_STOMP_CERT_FILE is not" in message


@isolate_apps("tests.django_project.events")
def test_a_key_that_is_not_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorators, "registry", [])

    @publish([Config("/topic/a", key="nome"), Config("/topic/b", key="name"), Config("/topic/c", key=str)])
    class Wrong(models.Model):
        name = models.CharField(max_length=10)

        class Meta:
            app_label = "events"

    [found] = checks.check_decorators()
    assert found.id == "django_outbox.W006"
    assert "'nome'" in found.msg


@isolate_apps("tests.django_project.events")
def test_a_decorator_that_names_what_is_not_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decorators, "registry", [])

    @publish([Config("/topic/a", serializer="no_such_method"), Config("/topic/b", fields=["name", "nome"])])
    class Wrong(models.Model):
        name = models.CharField(max_length=10)

        class Meta:
            app_label = "events"

    found = checks.check_decorators()
    assert [message.id for message in found] == ["django_outbox.W004", "django_outbox.W005"]
    assert "nome" in found[1].msg
    assert all(message.obj is Wrong for message in found)


def test_the_first_error_is_one_line_with_what_to_do() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"TYPO": 1, "DEFAULT_WAIT_RETRY": "soon"}):
        line = checks.first_error()
    assert line is not None
    assert "\n" not in line
    assert "DEFAULT_WAIT_RETRY" in line
    assert "(django_outbox.E002)" in line
