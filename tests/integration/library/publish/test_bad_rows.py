"""A row that the broker does not take delays nobody, is tried again on its own schedule, and is parked in the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.integration.library.publish.publisher import FAILED, SUCCEEDED

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue

NO_EXCHANGE = "/exchange/nobody-declared-this/key"
NO_DESTINATION = "/nowhere/at-all"


def _row(project: Project, destination: str) -> tuple[int, int, str | None, float | None]:
    """Return status, failures, error, and the seconds until the next attempt, of the row to a destination."""
    sql = """
        SELECT status, retry, last_error, extract(epoch FROM next_attempt_at - now())::float
        FROM published WHERE destination = %s
    """
    status, retry, error, rest = project.database.rows(sql, destination)[0]
    return status, retry, error, rest


def test_a_row_that_costs_the_connection_is_found_and_the_others_arrive(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 50)
    project.database.fill(NO_EXCHANGE, 1)
    project.database.fill(queue.destination, 50, first=50)
    publisher = project.publish()
    publisher.wait_sent(100)
    publisher.wait_for("the long pause", lambda: _row(project, NO_EXCHANGE)[1] == 3)
    status, _, error, rest = _row(project, NO_EXCHANGE)
    assert status == 1
    assert "NOT_FOUND" in (error or "")
    assert rest is not None
    assert 180 < rest <= 240
    assert queue.numbers().keys() == set(range(100))
    bystanders = "SELECT max(retry) FROM published WHERE destination = %s"
    assert project.database.rows(bystanders, queue.destination) == [(0,)], "the others are not blamed"


def test_a_row_whose_destination_is_refused_is_charged_and_the_others_come_once(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 50)
    project.database.fill(NO_DESTINATION, 1)
    project.database.fill(queue.destination, 50, first=50)
    publisher = project.publish()
    publisher.wait_sent(100)
    publisher.wait_for("the long pause", lambda: _row(project, NO_DESTINATION)[1] == 3)
    assert "Unknown destination" in (_row(project, NO_DESTINATION)[2] or "")
    assert queue.numbers() == Counter(range(100))
    retries = {"destination": NO_DESTINATION, "reason": "refused"}
    assert publisher.metric("outbox_publish_retries_total", **retries) == 3


def test_a_row_that_failed_as_often_as_it_may_is_parked_with_its_error(project: Project, queue: Queue) -> None:
    project.database.fill(NO_EXCHANGE, 1)
    project.database.fill(queue.destination, 5)
    publisher = project.publish(DEFAULT_MAXIMUM_RETRY_ATTEMPTS=5, DEFAULT_PAUSE_FOR_RETRY=0, DEFAULT_WAIT_RETRY=0)
    publisher.wait_for("the row parked", lambda: project.database.count(FAILED) == 1)
    assert _row(project, NO_EXCHANGE)[1] == 5
    assert "NOT_FOUND" in (_row(project, NO_EXCHANGE)[2] or "")
    publisher.wait_sent(5)
    publisher.wait_for(
        "the backlog shows it", lambda: publisher.metric("outbox_failed_messages", destination=NO_EXCHANGE) == 1
    )


def test_a_full_queue_keeps_nobody_else_waiting_for_long(project: Project, queue: Queue, full_queue: Queue) -> None:
    project.database.fill(full_queue.destination, 1)
    project.database.fill(queue.destination, 20)
    publisher = project.publish(RECEIPT_TIMEOUT=2)
    publisher.wait_sent(20)
    publisher.wait_for("the row is charged", lambda: _row(project, full_queue.destination)[1] >= 1)
    assert _row(project, full_queue.destination)[0] == 1
    project.database.fill(queue.destination, 20, first=20)
    publisher.wait_sent(40)
    assert queue.numbers().keys() == set(range(40))


def test_header_names_that_no_frame_can_say_fail_their_own_row_only(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 3)
    project.database.rows("""UPDATE published SET headers = headers || '{"a\\nb": "c"}' WHERE body ->> 'n' = '1'""")
    publisher = project.publish()
    publisher.wait_sent(2)
    publisher.wait_for("the row is charged", lambda: _charged(project) == 1)
    assert project.database.count(SUCCEEDED) == 2
    assert queue.numbers() == Counter([0, 2])


@pytest.mark.parametrize(
    ("column", "document", "words"),
    [
        ("body", "1" * 5000, "the row's body cannot be read"),
        ("headers", '{"n": 1e5000}', "the row's headers cannot be read"),
        ("headers", '"text"', "not a JSON object"),
    ],
    ids=["number of 5000 digits", "the same in a header", "headers that are text"],
)
def test_what_python_cannot_read_or_write_fails_its_own_row_only(
    project: Project, queue: Queue, column: str, document: str, words: str
) -> None:
    project.database.fill(queue.destination, 3)
    project.database.rows(f"UPDATE published SET {column} = %s::jsonb WHERE body ->> 'n' = '1'", document)
    publisher = project.publish()
    publisher.wait_sent(2)
    publisher.wait_for("the row is charged", lambda: _charged(project) == 1)
    assert words in project.database.rows("SELECT last_error FROM published WHERE retry > 0")[0][0]
    assert project.database.count(SUCCEEDED) == 2
    assert queue.numbers() == Counter([0, 2])


def _charged(project: Project) -> int:
    return int(project.database.rows("SELECT count(*) FROM published WHERE retry > 0")[0][0])
