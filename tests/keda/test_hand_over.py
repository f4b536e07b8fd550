"""Between a number that is named and one that KEDA decides, nothing jumps; and KEDA's absence is survived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.cluster.predicates import replicas
from tests.keda.resources import by_queue, subscription
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.cluster.operator_process import Cluster
    from tests.rig.hostservices import RabbitMQ
    from tests.rig.keda import Keda

SECONDS = 90.0


def publish(rabbitmq: RabbitMQ, queue: str, number: int) -> None:
    rabbitmq.declare_queue(queue)
    for _ in range(number):
        assert rabbitmq.api.publish(queue, "{}")


def workers(scaled: Cluster, name: str) -> set[str]:
    pods = scaled.list("pods", f"djangooutbox.io/subscription={name}")
    return {pod["metadata"]["uid"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def test_keda_takes_over_and_gives_back_without_a_jump(scaled: Cluster, rabbitmq: RabbitMQ, name: str) -> None:
    publish(rabbitmq, name, 35)
    scaled.apply(subscription(name, replicas=4))
    scaled.wait("deployment", f"{name}-sub", "4 workers", replicas(4))
    before = wait_until(
        "4 workers", lambda: found if len(found := workers(scaled, name)) == 4 else None, seconds=SECONDS
    )
    scaled.patch("obsub", name, {"spec": {"replicas": None, "autoscaling": by_queue(rabbitmq)}})
    scaled.wait_condition("obsub", name, "AutoscalingReady", "True", "Scaling")
    scaled.wait("hpa", f"keda-hpa-{name}-sub", "has seen the backlog", lambda hpa: hpa["status"].get("currentMetrics"))
    # 35 messages are 4 workers.
    assert workers(scaled, name) == before
    scaled.patch("obsub", name, {"spec": {"replicas": 4, "autoscaling": None}})
    scaled.wait_gone("hpa", f"keda-hpa-{name}-sub", SECONDS)
    scaled.wait_condition("obsub", name, "AutoscalingReady", "Unknown", "NotConfigured")
    assert workers(scaled, name) == before
    rabbitmq.delete_queue(name)


def test_suspending_stops_the_workers_of_a_full_queue_and_running_again_brings_them_back(
    scaled: Cluster, rabbitmq: RabbitMQ, name: str
) -> None:
    publish(rabbitmq, name, 25)
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq)))
    scaled.wait("deployment", f"{name}-sub", "3 workers", replicas(3), SECONDS)
    scaled.patch("obsub", name, {"spec": {"state": "Suspended"}})
    scaled.wait_gone("hpa", f"keda-hpa-{name}-sub", SECONDS)
    scaled.wait("deployment", f"{name}-sub", "no workers", replicas(0), SECONDS)
    scaled.wait_condition("obsub", name, "AutoscalingReady", "False", "Suspended")
    scaled.patch("obsub", name, {"spec": {"state": "Running"}})
    scaled.wait("deployment", f"{name}-sub", "3 workers again", replicas(3), SECONDS)
    scaled.wait_condition("obsub", name, "AutoscalingReady", "True", "Scaling")
    rabbitmq.delete_queue(name)


def test_a_deleted_resource_leaves_nothing_of_keda(scaled: Cluster, rabbitmq: RabbitMQ, name: str) -> None:
    publish(rabbitmq, name, 15)
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq)))
    scaled.wait("deployment", f"{name}-sub", "2 workers", replicas(2), SECONDS)
    scaled.kubectl("delete", "obsub", name)
    for kind, child in (
        ("scaledobject", f"{name}-sub"),
        ("triggerauthentication", f"{name}-sub"),
        ("hpa", f"keda-hpa-{name}-sub"),
        ("deployment", f"{name}-sub"),
    ):
        scaled.wait_gone(kind, child, SECONDS)
    rabbitmq.delete_queue(name)


def test_workers_and_deletions_do_without_kedas_operator(
    scaled: Cluster, rabbitmq: RabbitMQ, keda: Keda, name: str
) -> None:
    publish(rabbitmq, name, 15)
    scaled.apply(subscription(name, autoscaling=by_queue(rabbitmq)))
    scaled.wait("deployment", f"{name}-sub", "2 workers", replicas(2), SECONDS)
    keda.stop_operator()
    try:
        scaled.kubectl("delete", "obsub", name)
        scaled.wait_gone("deployment", f"{name}-sub", SECONDS)
    finally:
        keda.start_operator()
    scaled.wait_gone("scaledobject", f"{name}-sub", SECONDS)
    rabbitmq.delete_queue(name)
