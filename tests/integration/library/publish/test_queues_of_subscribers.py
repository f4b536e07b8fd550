"""A message to ``/queue/NAME`` reaches the queue that a subscriber has declared, whoever came first."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue
    from tests.rig.hostservices import RabbitMQ


@pytest.fixture
def declared(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A queue with the arguments that a subscriber gives it; a SEND to it names none of them."""
    name = f"publish-declared-{uuid.uuid4().hex[:12]}"
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"DLQ.{name}"}
    rabbitmq.declare_queue(name, arguments=arguments)
    yield name
    rabbitmq.delete_queue(name)


def test_a_message_to_a_queue_that_a_subscriber_declared_arrives(
    project: Project, queue: Queue, declared: str, rabbitmq: RabbitMQ
) -> None:
    project.database.fill(queue.destination, 5)
    project.database.fill(f"/queue/{declared}", 5, first=5)
    publisher = project.publish()
    publisher.wait_sent(10)
    assert rabbitmq.queue_depth(declared) == 5
    # The first refusal teaches; nothing is refused twice.
    assert project.database.rows("SELECT max(retry) FROM published")[0][0] <= 1
