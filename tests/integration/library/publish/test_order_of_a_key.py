"""Rows of one key leave in the order they were written in: many publishers, crashes, refusals and all."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.integration.library.publish.publisher import FAILED, SUCCEEDED

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project, Publisher
    from tests.integration.library.publish.queues import Queue

NO_DESTINATION = "/nowhere/at-all"


def _first_arrivals(queue: Queue, keys: int) -> dict[int, list[int]]:
    """Return what arrived, by key, each number where it came first: a crash may send it again later."""
    arrived = list(queue.numbers())
    return {key: [number for number in arrived if number % keys == key] for key in range(keys)}


def test_many_publishers_keep_the_order_of_each_key(project: Project, queue: Queue) -> None:
    publishers = [project.publish("--batch-size", str(size)) for size in (7, 50, 200)]
    for publisher in publishers:
        publisher.wait_ready()
    project.database.fill(queue.destination, 3000, keys=20)
    publishers[0].wait_sent(3000)
    for key, numbers in _first_arrivals(queue, 20).items():
        assert numbers == list(range(key, 3000, 20))


def test_the_order_survives_publishers_that_are_killed(project: Project, queue: Queue) -> None:
    chance = random.Random(20)
    publishers = [_short_lease(project) for _ in range(3)]
    for publisher in publishers:
        publisher.wait_ready()
    for part in range(6):
        project.database.fill(queue.destination, 500, keys=9, first=part * 500)
        victim = chance.randrange(3)
        publishers[victim].wait_sent(part * 500 + chance.randrange(20, 400))
        publishers[victim].kill()
        publishers[victim] = _short_lease(project)
    publishers[0].wait_sent(3000, seconds=90)
    for key, numbers in _first_arrivals(queue, 9).items():
        assert numbers == list(range(key, 3000, 9))


def _short_lease(project: Project) -> Publisher:
    return project.publish("--batch-size", "40", CLAIM_LEASE=3, RECEIPT_TIMEOUT=1)


def test_rows_behind_a_refused_one_wait_for_it_and_nobody_else_does(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 60, keys=3)
    project.database.rows("UPDATE published SET destination = %s WHERE body ->> 'n' = '30'", NO_DESTINATION)
    publishers = [project.publish(DEFAULT_MAXIMUM_RETRY_ATTEMPTS=4, DEFAULT_PAUSE_FOR_RETRY=0) for _ in range(2)]
    publishers[0].wait_for("the row is parked", lambda: project.database.count(FAILED) == 1)
    publishers[0].wait_sent(50)
    assert sorted(queue.numbers()) == sorted(n for n in range(60) if n % 3 or n < 30)
    labels = {"destination": queue.destination}
    publishers[0].wait_for(
        "the rows behind it are counted", lambda: publishers[0].metric("outbox_blocked_messages", **labels) == 9
    )
    assert "The later messages of its key wait" in "".join(publisher.log.read_text() for publisher in publishers)
    project.database.rows(
        "UPDATE published SET status = 1, retry = 0, next_attempt_at = NULL, destination = %s WHERE status = -1",
        queue.destination,
    )
    publishers[0].wait_sent(60)
    assert list(queue.numbers()) == list(range(30, 60, 3))


@pytest.mark.parametrize(("policy", "sent", "failed"), [("park", 10, 20), ("skip", 29, 1)])
def test_a_row_that_is_given_up_takes_its_key_along_or_leaves_it(
    project: Project, queue: Queue, policy: str, sent: int, failed: int
) -> None:
    project.database.fill(queue.destination, 20, keys=1)
    project.database.rows("UPDATE published SET destination = %s WHERE body ->> 'n' = '10'", NO_DESTINATION)
    publisher = project.publish(DEFAULT_MAXIMUM_RETRY_ATTEMPTS=3, DEFAULT_PAUSE_FOR_RETRY=0, ORDER_ON_FAILURE=policy)
    publisher.wait_for("the row is parked", lambda: project.database.count(FAILED) >= 1)
    project.database.fill(queue.destination, 10, keys=1, first=20)
    publisher.wait_for(
        "nothing is left to do",
        lambda: (project.database.count(SUCCEEDED), project.database.count(FAILED)) == (sent, failed),
    )
    [(leader,)] = project.database.rows("SELECT id FROM published WHERE destination = %s", NO_DESTINATION)
    named = "SELECT count(*) FROM published WHERE status = -1 AND last_error LIKE %s"
    assert project.database.rows(named, f"%{leader}%") == [(failed - 1,)]
    assert list(queue.numbers()) == [n for n in range(30) if n < 10 or (policy == "skip" and n > 10)]


def test_rows_with_and_without_a_key_do_not_hold_each_other_up(project: Project, queue: Queue) -> None:
    project.database.fill(NO_DESTINATION, 500, keys=1)
    project.database.fill(queue.destination, 500)
    publisher = project.publish("--batch-size", "20")
    publisher.wait_sent(500)
    assert project.database.rows("SELECT count(*) FROM published WHERE retry > 0") == [(1,)], "only the first is tried"


def test_a_claim_whose_statement_is_kept_follows_the_settings_and_its_limit(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 4, keys=1)
    project.database.rows("UPDATE published SET status = -1 WHERE body ->> 'n' = '0'")
    project.database.rows("UPDATE published SET retry = 1 WHERE body ->> 'n' = '1'")
    project.database.fill(queue.destination, 3)
    printed = project.python("""
from django.test import override_settings
from django_outbox import store
counts = []
for policy in ("block", "skip", "block"):
    with override_settings(DJANGO_OUTBOX_PATTERN={"ORDER_ON_FAILURE": policy}):
        for limit, share in ((9, store.Share.TROUBLED), (2, store.Share.UNKEYED), (9, store.Share.UNKEYED)):
            claim = store.claim(limit, 60, share=share)
            counts.append(len(claim.rows))
            store.release(claim.token, [row.id for row in claim.rows])
print(counts)
""")
    assert printed.splitlines()[-1] == "[0, 2, 3, 1, 2, 3, 0, 2, 3]"
