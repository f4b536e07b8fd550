"""A row that was committed reaches the broker and stays there, whatever is killed."""

from __future__ import annotations

import json
import signal
from collections import Counter
from typing import TYPE_CHECKING

from tests.faults import frozen
from tests.integration.library.publish.publisher import FAILED, SCHEDULE, SUCCEEDED

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue
    from tests.rig.hostservices import RabbitMQ


def test_a_thousand_published_messages_survive_a_restart_of_the_broker(
    project: Project, queue: Queue, rabbitmq: RabbitMQ
) -> None:
    project.database.fill(queue.destination, 1000)
    publisher = project.publish()
    publisher.wait_sent(1000)
    assert publisher.stop() == 0
    rabbitmq.restart()
    queue.wait_for_depth(1000)
    assert queue.numbers() == Counter(range(1000))


def test_a_broker_that_is_killed_while_publishing_loses_nothing(
    project: Project, queue: Queue, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.settle()
    project.database.fill(queue.destination, 8000)
    publisher = project.publish("--batch-size", "100").wait_ready()
    publisher.wait_for("some rows sent", lambda: project.database.count(SUCCEEDED) > 200)
    rabbitmq.kill()
    publisher.wait_for("the publisher notices", lambda: not publisher.ready())
    assert publisher.probe("/livez")[0] == 200
    rabbitmq.start()
    publisher.wait_sent(8000)
    numbers = queue.numbers()
    assert numbers.keys() == set(range(8000))
    assert numbers.total() <= 8000 + 100, "only the batch in flight may come twice"
    assert project.database.rows("SELECT max(retry) FROM published") == [(0,)], "an outage is no row's fault"


def test_a_broker_that_is_restarted_in_good_order_while_publishing_loses_nothing(
    project: Project, queue: Queue, rabbitmq: RabbitMQ
) -> None:
    project.database.fill(queue.destination, 8000)
    publisher = project.publish("--batch-size", "100").wait_ready()
    publisher.wait_for("some rows sent", lambda: project.database.count(SUCCEEDED) > 200)
    rabbitmq.restart()
    publisher.wait_sent(8000)
    assert queue.numbers().keys() == set(range(8000))
    assert project.database.count(FAILED) == 0


def test_a_broker_that_stands_still_costs_no_row_an_attempt(project: Project, queue: Queue, rabbitmq: RabbitMQ) -> None:
    publisher = project.publish(RECEIPT_TIMEOUT=1).wait_ready()
    with frozen(rabbitmq):
        project.database.fill(queue.destination, 20)
        publisher.wait_for("the publisher notices", lambda: not publisher.ready())
        assert publisher.probe("/livez")[0] == 200
    publisher.wait_sent(20)
    assert queue.numbers().keys() == set(range(20))
    assert project.database.rows("SELECT max(retry) FROM published") == [(0,)]


def test_a_publisher_that_is_killed_leaves_its_rows_to_the_next(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 8000)
    first = project.publish("--batch-size", "200", CLAIM_LEASE=3, RECEIPT_TIMEOUT=1).wait_ready()
    first.wait_for("some rows sent", lambda: project.database.count(SUCCEEDED) > 200)
    first.signal(signal.SIGKILL)
    first.wait_exit()
    assert project.database.count(SUCCEEDED) < 8000, "killed too late to show anything"
    second = project.publish("--batch-size", "200", CLAIM_LEASE=3, RECEIPT_TIMEOUT=1)
    second.wait_sent(8000)
    messages = queue.take()
    ids = Counter(message["properties"]["headers"]["dop-msg-id"] for message in messages)
    assert {json.loads(message["payload"])["n"] for message in messages} == set(range(8000))
    assert len(ids) == 8000, "a message that comes twice comes with the same id"
    # One is on the wire, and one is confirmed and about to be settled: see docs/performance.md.
    assert ids.total() <= 8000 + 2 * 200, "only the two batches in flight may come twice"


def test_a_database_that_is_restarted_while_publishing_loses_nothing(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 8000)
    publisher = project.publish("--batch-size", "100").wait_ready()
    publisher.wait_for("some rows sent", lambda: project.database.count(SUCCEEDED) > 200)
    project.database.server.restart()
    publisher.wait_sent(8000)
    assert queue.numbers().keys() == set(range(8000))
    assert publisher.stop() == 0


def test_rows_older_than_their_expiry_are_sent_all_the_same(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 3)
    project.database.rows(
        "UPDATE published SET added = added - interval '60 days', expires_at = now() - interval '59 days'"
    )
    project.publish().wait_sent(3)
    assert queue.numbers() == Counter(range(3))
    assert project.database.count(SCHEDULE) == 0


def test_a_publisher_that_starts_before_its_broker_waits_for_it(
    project: Project, queue: Queue, rabbitmq: RabbitMQ
) -> None:
    project.database.fill(queue.destination, 3)
    rabbitmq.stop()
    try:
        publisher = project.publish()
        publisher.wait_for("an answer", lambda: publisher.probe("/livez")[0] == 200)
        assert publisher.probe("/readyz")[0] == 503
    finally:
        rabbitmq.start()
    publisher.wait_sent(3)
    assert publisher.metric("outbox_broker_connected", host=f"{rabbitmq.host}:{rabbitmq.stomp_port}") == 1
