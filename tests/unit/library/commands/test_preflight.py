"""``outbox preflight`` finds what would keep a worker from its work, and ``await-migrations`` waits for one thing."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import override_settings

from django_outbox.cli import await_migrations, termination
from django_outbox.doctor import broker, migrations, preflight, queues
from django_outbox.doctor.findings import Finding, fail, ok, warn
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from tests.unit.library.commands.running import outbox

if TYPE_CHECKING:
    from pathlib import Path

LAST = "0011_published_key_indexes"
ALL = {"callback", "migrations", "broker", "queue"}


def takes_one(payload: object) -> None:
    """A callback."""


def takes_two(payload: object, connection: object) -> None:
    """No callback."""


SUBSCRIBES = ("--callback", f"{__name__}.takes_one", "--destination", "/topic/orders", "--queue", "billing")


@pytest.fixture(autouse=True)
def _servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that lets everybody in and has the queue, and a database with all migrations."""
    monkeypatch.setattr(broker, "login", lambda: ok("broker", "RabbitMQ accepts 'guest'."))
    monkeypatch.setattr(queues, "examine_subscription", lambda _: iter([ok("queue billing", "It exists.")]))
    monkeypatch.setattr(migrations, "pending", lambda _using: [])


def _broker(monkeypatch: pytest.MonkeyPatch, finding: Finding) -> None:
    monkeypatch.setattr(broker, "login", lambda: finding)


def test_a_worker_that_can_start_passes_every_check(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    ended = outbox("preflight", *SUBSCRIBES, "--termination-log", str(log), "--json")
    assert ended.code == 0
    assert {check["name"] for check in ended.document["checks"]} == ALL
    assert not log.exists()


def test_a_publisher_has_neither_callback_nor_queue() -> None:
    assert {check["name"] for check in outbox("preflight", "--json").document["checks"]} == {"migrations", "broker"}


@pytest.mark.parametrize(
    ("callback", "words"),
    [
        ("no.such.callback", "Could not import 'no.such.callback'. There is no module 'no'."),
        (f"{__name__}.takes_two", "cannot be called with a payload: missing a required argument: 'connection'"),
    ],
    ids=["it cannot be imported", "it takes two arguments"],
)
def test_a_callback_that_cannot_work_fails_and_its_error_is_left_for_the_status(
    callback: str, words: str, tmp_path: Path
) -> None:
    log = tmp_path / "termination-log"
    ended = outbox("preflight", "--callback", callback, "--termination-log", str(log))
    assert ended.code == 1
    assert log.read_text().startswith("callback: ")
    assert words in log.read_text()


def test_every_failed_check_is_left_for_the_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    _broker(monkeypatch, fail("broker", "Access refused for user 'shop'.", "Correct them."))
    monkeypatch.setattr(migrations, "pending", lambda _using: ["shop.0002_total"])
    ended = outbox("preflight", *SUBSCRIBES, "--termination-log", str(log))
    assert ended.code == 1
    assert log.read_text().splitlines() == [
        "migrations: Not applied: shop.0002_total. Run manage.py migrate.",
        "broker: Access refused for user 'shop'. Correct them.",
    ]


def test_what_is_tolerated_is_told_and_does_not_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    monkeypatch.setattr(migrations, "pending", lambda _using: ["shop.0002_total"])
    ended = outbox("preflight", "--tolerate", "migrations", "--termination-log", str(log))
    assert (ended.code, log.read_text()) == (0, "migrations: Not applied: shop.0002_total. Run manage.py migrate.")


def test_only_the_chosen_checks_are_made() -> None:
    ended = outbox("preflight", *SUBSCRIBES, "--check", "callback", "--check", "broker", "--json")
    assert {check["name"] for check in ended.document["checks"]} == {"callback", "broker"}


def test_a_database_or_broker_that_is_away_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_using: str) -> list[str]:
        raise OperationalError("connection refused")

    monkeypatch.setattr(migrations, "pending", away)
    _broker(monkeypatch, warn("broker", "It does not answer.", "Check that it runs."))
    ended = outbox("preflight", *SUBSCRIBES, "--json")
    assert (ended.code, ended.document["ok"]) == (0, True)
    assert [check["level"] for check in ended.document["checks"]] == ["ok", "warn", "warn"]


def test_a_queue_with_other_arguments_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = fail("queue billing", "It exists with other arguments: inequivalent arg 'x-queue-type'.", "Delete it.")
    monkeypatch.setattr(queues, "examine_subscription", lambda _: iter([other]))
    log = tmp_path / "termination-log"
    assert outbox("preflight", *SUBSCRIBES, "--termination-log", str(log)).code == 1
    assert log.read_text().startswith("queue: queue billing: It exists with other arguments")


def test_settings_that_cannot_be_read_fail_before_anything_is_asked() -> None:
    with override_settings(DJANGO_OUTBOX_PATTERN={"CLAIM_LEASE": "long"}):
        ended = outbox("preflight", *SUBSCRIBES, "--json")
    assert ended.code == 1
    assert [check["name"] for check in ended.document["checks"]] == ["settings"]


@pytest.mark.parametrize(
    ("error", "level"),
    [(BrokerRefused("Access refused."), "fail"), (BrokerUnavailable("Connection refused."), "warn")],
)
def test_a_refused_login_fails_and_a_broker_that_is_away_only_warns(
    monkeypatch: pytest.MonkeyPatch, error: Exception, level: str
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.undo()
    monkeypatch.setattr(broker, "open_connection", refuse)
    monkeypatch.setattr(queues, "open_connection", refuse)
    checks = outbox("preflight", "--check", "broker", "--json").document["checks"]
    assert [(check["name"], check["level"]) for check in checks] == [("broker", level)]
    worker = preflight.Worker("default", None, "/topic/orders", "billing")
    assert list(preflight.examine(worker, frozenset({"queue"}))) == []


def test_a_termination_message_is_cut_between_characters(tmp_path: Path) -> None:
    log = tmp_path / "termination-log"
    termination.write(str(log), ["x" + "é" * termination.MOST_BYTES])
    assert len(log.read_bytes()) == termination.MOST_BYTES - 1
    termination.write(str(tmp_path / "missing" / "log"), ["words"])


@pytest.mark.django_db
def test_every_app_is_asked_for_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert migrations.pending("default") == []
    MigrationRecorder(connection).record_unapplied("contenttypes", "0002_remove_content_type_name")
    MigrationRecorder(connection).record_unapplied("django_outbox_pattern", LAST)
    found = migrations.pending("default")
    assert "contenttypes.0002_remove_content_type_name" in found
    assert f"django_outbox_pattern.{LAST}" in found
    assert migrations.in_words([str(number) for number in range(7)]) == "0, 1, 2, 3, 4 and 2 more"


# --- waiting


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What each look at the database finds; the last one stays."""
    answers: list[Any] = []

    def look(_using: str) -> list[str]:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return list(answer)

    monkeypatch.setattr(await_migrations, "pending", look)
    monkeypatch.setattr(await_migrations, "LOOK_SECONDS", 0.01)
    return answers


def test_waiting_says_what_is_missing_and_ends_when_all_are_applied(looks: list[Any]) -> None:
    looks += [OperationalError("connection refused"), ["shop.0002", "shop.0003"], ["shop.0003"], ["shop.0003"], []]
    ended = outbox("await-migrations")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "The database does not tell which migrations are applied: connection refused.",
        "Not applied: shop.0002, shop.0003.",
        "Not applied: shop.0003.",
        "All migrations are applied.",
    ]


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (["shop.0002"], 2, "Not applied: shop.0002."),
        (OperationalError("no route"), 3, "The database does not tell which migrations are applied: no route."),
    ],
)
def test_waiting_gives_up_after_its_time_and_leaves_the_state(
    looks: list[Any], answer: Any, code: int, words: str, tmp_path: Path
) -> None:
    looks.append(answer)
    log = tmp_path / "termination-log"
    ended = outbox("await-migrations", "--timeout", "1", "--termination-log", str(log))
    assert (ended.code, log.read_text()) == (code, words)
    assert "Gave up after 1 s." in ended.err


def test_waiting_ends_at_once_when_it_is_told_to(looks: list[Any]) -> None:
    looks.append(["shop.0002"])
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert outbox("await-migrations", "--timeout", "250").code == 143
