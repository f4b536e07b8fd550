"""A commit wakes the publisher; where it does not, the publisher looks by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue

# The publisher would look by itself so seldom that no test sees it.
SELDOM = 600
LISTENERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
ENQUEUE = "from django_outbox import enqueue; enqueue({destination!r}, {{'n': {n}}})"
COUNT = """
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django_outbox import enqueue
with CaptureQueriesContext(connection) as queries:
    CODE
print(sum("NOTIFY" in query["sql"] for query in queries))
"""


def _enqueue(project: Project, queue: Queue, number: int) -> None:
    project.python(ENQUEUE.format(destination=queue.destination, n=number))


def _listens(project: Project) -> bool:
    return project.database.rows(LISTENERS) == [(1,)]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_commit_wakes_the_publisher(project: Project, queue: Queue, driver: str) -> None:
    project.driver = driver
    publisher = project.publish(DEFAULT_PRODUCER_WAITING_TIME=SELDOM).wait_ready()
    publisher.wait_for("the publisher listens", lambda: _listens(project))
    for number in range(3):
        _enqueue(project, queue, number)
        publisher.wait_sent(number + 1, seconds=10)
    assert (publisher.metric("outbox_wakeups_total", source="notify") or 0) >= 2
    assert list(queue.numbers()) == [0, 1, 2]


def test_the_publisher_listens_again_after_the_database_was_away(project: Project, queue: Queue) -> None:
    publisher = project.publish(DEFAULT_PRODUCER_WAITING_TIME=SELDOM).wait_ready()
    publisher.wait_for("the publisher listens", lambda: _listens(project))
    project.database.server.restart()
    publisher.wait_for("the publisher listens again", lambda: _listens(project))
    before = publisher.metric("outbox_wakeups_total", source="notify") or 0
    for number in range(3):
        _enqueue(project, queue, number)
        publisher.wait_sent(number + 1, seconds=20)
    assert (publisher.metric("outbox_wakeups_total", source="notify") or 0) > before


def test_without_wake_ups_the_publisher_looks_by_itself(project: Project, queue: Queue) -> None:
    publisher = project.publish(WAKE_BY_NOTIFY=False).wait_ready()
    _enqueue(project, queue, 0)
    publisher.wait_sent(1, seconds=10)
    assert project.database.rows(LISTENERS) == [(0,)]
    assert not publisher.metric("outbox_wakeups_total", source="notify")
    assert publisher.metric("outbox_wakeups_total", source="poll") == 1


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("for n in range(50): enqueue('/queue/a', {})", 1),
        ("with transaction.atomic(): [enqueue('/queue/a', {}) for n in range(50)]", 1),
        ("with transaction.atomic(): enqueue('/queue/a', {}); transaction.set_rollback(True)", 0),
    ],
)
def test_a_process_sends_few_wake_ups_and_only_after_a_commit(project: Project, code: str, count: int) -> None:
    assert project.python(COUNT.replace("CODE", code), NOTIFY_DEBOUNCE=60).split() == [str(count)]


def test_switched_off_the_writer_sends_none(project: Project) -> None:
    assert project.python(COUNT.replace("CODE", "enqueue('/queue/a', {})"), WAKE_BY_NOTIFY=False).split() == ["0"]


def test_a_wake_up_that_fails_is_not_the_writers_trouble(project: Project) -> None:
    code = (
        "from django_outbox import enqueue, wakeup; wakeup.CHANNEL = 'no good name'; print(enqueue('/queue/a', {}).pk)"
    )
    assert project.python(code)
    assert project.database.states() == {1: 1}
