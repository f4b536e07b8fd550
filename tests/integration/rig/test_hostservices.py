"""What the other tests of this tier take for granted of their servers."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.hostservices import Postgres, RabbitMQ

PERSISTENT = {"delivery_mode": 2}


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[str]:
    name = f"rig-{uuid.uuid4().hex}"
    rabbitmq.declare_queue(name)
    yield name
    rabbitmq.delete_queue(name)


def test_the_depth_of_a_queue_is_exact_at_once(rabbitmq: RabbitMQ, queue: str) -> None:
    for body in "abc":
        assert rabbitmq.api.publish(queue, body)
    assert rabbitmq.queue_depth(queue) == 3


def test_a_queue_that_is_not_there_has_no_depth(rabbitmq: RabbitMQ) -> None:
    assert rabbitmq.queue_depth("nobody-declared-this") is None


def test_a_purged_queue_is_empty(rabbitmq: RabbitMQ, queue: str) -> None:
    rabbitmq.api.publish(queue, "a")
    rabbitmq.purge(queue)
    assert rabbitmq.queue_depth(queue) == 0


def test_looking_at_messages_leaves_them_in_the_queue(rabbitmq: RabbitMQ, queue: str) -> None:
    rabbitmq.api.publish(queue, "a")
    assert [message["payload"] for message in rabbitmq.get_messages(queue, 5)] == ["a"]
    assert rabbitmq.queue_depth(queue) == 1


def test_a_killed_broker_comes_back_at_the_same_address_with_its_durable_messages(
    rabbitmq: RabbitMQ, queue: str
) -> None:
    rabbitmq.api.publish(queue, "a", properties=PERSISTENT)
    port = rabbitmq.stomp_port
    rabbitmq.settle()
    rabbitmq.kill()
    rabbitmq.start()
    assert (rabbitmq.stomp_port, rabbitmq.queue_depth(queue)) == (port, 1)


def test_a_killed_database_server_comes_back_with_what_was_committed(postgres: Postgres) -> None:
    name = f"rig_{uuid.uuid4().hex}"
    postgres.create_database(name)
    postgres.psql("CREATE TABLE t AS SELECT 1 AS a", database=name)
    postgres.kill()
    postgres.start()
    assert postgres.psql("SELECT a FROM t", database=name) == "1"
    postgres.drop_database(name)
