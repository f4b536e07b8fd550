"""Any number of publishers share one outbox."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue


def test_two_publishers_send_no_row_twice(project: Project, queue: Queue) -> None:
    publishers = [project.publish("--batch-size", "50") for _ in range(2)]
    for publisher in publishers:
        publisher.wait_ready()
    project.database.fill(queue.destination, 6000)
    publishers[0].wait_sent(6000)
    assert queue.numbers() == Counter(range(6000))
    labels = {"destination": queue.destination, "result": "success"}
    shares = [publisher.metric("outbox_published_messages_total", **labels) or 0 for publisher in publishers]
    assert sum(shares) == 6000
    assert min(shares) > 0, "both took part"


def test_one_publisher_sends_in_the_order_of_writing(project: Project, queue: Queue) -> None:
    project.database.fill(queue.destination, 1000)
    project.publish("--batch-size", "70").wait_sent(1000)
    assert list(queue.numbers()) == list(range(1000))
