"""``manage.py publish`` as a person or a supervisor meets it."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

from tests.rig.process import free_port, port_open

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue


def _last_line(project: Project, *arguments: str, **settings: object) -> str:
    """Run ``publish`` to its end, which must be 1, and return the last line that it wrote to stderr."""
    done = project.manage("publish", *arguments, check=False, **settings)
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_refused_login_is_said_without_the_password(project: Project) -> None:
    line = _last_line(project, DEFAULT_STOMP_PASSCODE="not-the-password")
    assert "refused the publisher's login as 'outbox'" in line
    assert "DEFAULT_STOMP_PASSCODE" in line
    assert "not-the-password" not in line


def test_a_virtual_host_that_does_not_exist_is_said(project: Project) -> None:
    assert "DEFAULT_STOMP_VHOST" in _last_line(project, DEFAULT_STOMP_VHOST="nowhere")


def test_a_database_without_tables_is_said_with_what_to_run(empty_project: Project) -> None:
    line = _last_line(empty_project)
    assert "published" in line
    assert "manage.py migrate" in line


def test_a_database_of_the_peers_is_said_with_what_to_run(empty_project: Project) -> None:
    empty_project.manage("migrate", "django_outbox_pattern", "0006", "--verbosity=0")
    assert "manage.py migrate" in _last_line(empty_project)


def test_a_wrong_setting_is_said_with_its_default(project: Project) -> None:
    line = _last_line(project, RECEIPT_TIMEOUT="soon")
    assert "RECEIPT_TIMEOUT" in line
    assert "Default: 30" in line


def test_a_port_that_is_taken_is_said(project: Project) -> None:
    first = project.publish().wait_ready()
    assert "--metrics-port" in _last_line(project, "--metrics-port", str(first.port))


def test_the_port_of_the_option_wins_over_the_settings(project: Project) -> None:
    port = free_port()
    publisher = project.publish(METRICS_PORT=port).wait_ready()
    assert not port_open(port)
    assert publisher.stop() == 0


def test_metrics_tell_what_was_sent_and_what_waits(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 10)
    project.database.fill("/topic/later", 2)
    project.database.rows(
        "UPDATE published SET next_attempt_at = now() + interval '1 hour' WHERE destination = '/topic/later'"
    )
    publisher = project.publish()
    publisher.wait_sent(10)
    sent = {"destination": queue.destination}
    assert publisher.metric("outbox_published_messages_total", **sent, result="success") == 10
    assert publisher.metric("outbox_publish_duration_seconds_count", **sent) == 10
    assert publisher.metric("outbox_publish_lag_seconds_count", **sent) == 10
    assert publisher.metric("outbox_publish_batch_messages_count") is not None
    assert publisher.metric("outbox_pending_messages", destination="/topic/later") == 2
    assert publisher.metric("outbox_oldest_pending_timestamp_seconds", destination="/topic/later") is not None
    assert publisher.metric("outbox_worker_info", role="publisher") == 1
    assert publisher.metric("outbox_loop_last_success_timestamp_seconds", role="publisher") is not None


def test_the_probes_answer_in_words(project: Project) -> None:
    publisher = project.publish().wait_ready()
    with urllib.request.urlopen(f"http://127.0.0.1:{publisher.port}/readyz", timeout=5) as answer:
        document = json.load(answer)
    assert document["status"] == "ok"
    assert document["checks"].keys() >= {"broker", "database", "loop"}


def test_no_secret_is_in_the_log(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 3)
    publisher = project.publish()
    publisher.wait_sent(3)
    assert publisher.stop() == 0
    assert "outbox-secret" not in publisher.log.read_text()
