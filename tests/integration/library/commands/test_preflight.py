"""``outbox preflight`` and ``await-migrations`` on real servers: what is refused fails, what is away only warns."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.library.publish.publisher import Project
    from tests.rig.hostservices import RabbitMQ


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The name of a queue that no other test uses."""
    name = f"preflight-{uuid.uuid4().hex[:12]}"
    yield name
    rabbitmq.delete_queue(name)


def _levels(project: Project, *arguments: str, code: int = 0, **settings: Any) -> dict[str, str]:
    done = project.manage("outbox", "preflight", "--json", *arguments, check=False, **settings)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    # Of several findings of one check the worst counts.
    checks = sorted(json.loads(done.stdout)["checks"], key=lambda check: ("ok", "warn", "fail").index(check["level"]))
    return {check["name"]: check["level"] for check in checks}


def test_a_project_that_is_well_passes_and_no_queue_is_made(project: Project, rabbitmq: RabbitMQ, queue: str) -> None:
    arguments = ("--callback", "django.utils.timezone.is_aware", "--destination", "/topic/orders", "--queue", queue)
    found = _levels(project, *arguments)
    # A queue that does not exist yet is a warning: the worker makes it.
    assert found == {"callback": "ok", "migrations": "ok", "broker": "ok", "queue": "warn"}
    assert queue not in rabbitmq.api.queues()


def test_a_queue_with_other_arguments_fails_with_the_brokers_words(
    project: Project, rabbitmq: RabbitMQ, queue: str, tmp_path: Path
) -> None:
    rabbitmq.declare_queue(queue, arguments={"x-max-length": 10})
    log = tmp_path / "termination-log"
    arguments = ("--destination", "/topic/orders", "--queue", queue, "--termination-log", str(log))
    assert _levels(project, *arguments, code=1)["queue"] == "fail"
    assert "inequivalent arg" in log.read_text()


def test_a_login_that_is_refused_fails_and_a_broker_that_is_away_warns(project: Project) -> None:
    assert _levels(project, code=1, DEFAULT_STOMP_PASSCODE="wrong-secret")["broker"] == "fail"
    assert _levels(project, DEFAULT_STOMP_HOST_AND_PORTS=[["127.0.0.1", free_port()]])["broker"] == "warn"


def test_migrations_are_named_and_waited_for(empty_project: Project) -> None:
    assert _levels(empty_project, code=1)["migrations"] == "fail"
    waiting = empty_project.manage("outbox", "await-migrations", "--timeout", "1", "--json", check=False)
    assert waiting.returncode == 2
    assert "django_outbox_pattern.0001_initial" in json.loads(waiting.stdout)["pending"]
    empty_project.manage("migrate", "--verbosity", "0")
    done = empty_project.manage("outbox", "await-migrations", "--timeout", "60", "--json")
    assert json.loads(done.stdout) == {"ok": True, "pending": [], "problem": None}
