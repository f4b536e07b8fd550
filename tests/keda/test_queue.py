"""A Subscription is scaled by its queue, from nothing and back."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import stomp

from tests.cluster.predicates import replicas, wants
from tests.keda.resources import QUICK, by_queue, subscription
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster.operator_process import Cluster
    from tests.rig.hostservices import RabbitMQ

SECONDS = 90.0


def publish(rabbitmq: RabbitMQ, queue: str, number: int) -> None:
    for _ in range(number):
        assert rabbitmq.api.publish(queue, "{}")


@contextmanager
def holding(rabbitmq: RabbitMQ, queue: str, number: int) -> Iterator[None]:
    """Take messages as a busy worker does, and acknowledge none within the block."""
    connection = stomp.Connection12([(rabbitmq.host, rabbitmq.stomp_port)], vhost=rabbitmq.vhost)
    connection.connect(rabbitmq.username, rabbitmq.passcode, wait=True)
    prefetch = {"prefetch-count": str(number)}
    connection.subscribe(f"/amq/queue/{queue}", id="1", ack="client-individual", headers=prefetch)
    try:
        yield
    finally:
        connection.disconnect()


def active_until(scaled: Cluster, name: str) -> float:
    """When KEDA last saw work, in seconds."""
    status = scaled.must_get("scaledobject", f"{name}-sub")["status"]
    return datetime.fromisoformat(status["lastActiveTime"]).timestamp()


def test_workers_come_from_zero_with_a_backlog_and_go_with_it(scaled: Cluster, rabbitmq: RabbitMQ, name: str) -> None:
    rabbitmq.declare_queue(name)
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq)))
    scaled.wait("deployment", f"{name}-sub", "no work, no workers", replicas(0), SECONDS)
    scaled.wait_condition("obsub", name, "AutoscalingReady", "True", "Scaling")
    scaled.wait_condition("obsub", name, "Ready", "True", "ScaledToZero")
    publish(rabbitmq, name, 35)
    scaled.wait("deployment", f"{name}-sub", "4 workers for 35 messages", replicas(4), SECONDS)
    scaled.wait("obsub", name, "a true status", wants(4))
    rabbitmq.purge(name)
    scaled.wait("deployment", f"{name}-sub", "no workers", replicas(0), SECONDS)


def test_messages_that_workers_have_not_acknowledged_keep_them(scaled: Cluster, rabbitmq: RabbitMQ, name: str) -> None:
    rabbitmq.declare_queue(name)
    publish(rabbitmq, name, 15)
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq)))
    scaled.wait("deployment", f"{name}-sub", "2 workers for 15 messages", replicas(2), SECONDS)
    with holding(rabbitmq, name, 15):
        wait_until(
            "the broker counts 15 unacknowledged messages and none that waits",
            lambda: (
                (found := rabbitmq.api.queue(name) or {}).get("messages_unacknowledged") == 15
                and found["messages_ready"] == 0
            ),
            seconds=SECONDS,
            state=lambda: str(rabbitmq.api.queue(name)),
        )
        # Were only waiting messages counted, KEDA would see no work from now on, and end the workers.
        begun = active_until(scaled, name)
        wait_until(
            "KEDA goes on seeing work for longer than the cooldown",
            lambda: active_until(scaled, name) > begun + 2 * QUICK["cooldownPeriodSeconds"],
            seconds=SECONDS,
            state=lambda: scaled.state("scaledobject", f"{name}-sub"),
        )
        assert replicas(2)(scaled.must_get("deployment", f"{name}-sub"))
    rabbitmq.delete_queue(name)
