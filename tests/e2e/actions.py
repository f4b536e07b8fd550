"""What the end-to-end tests do to the shop: break it, put it back, and wait for what must follow."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from examples.shop.demo import steps, traffic
from examples.shop.demo.cluster import INFRA, OPERATOR, SHOP, Cluster
from examples.shop.demo.waits import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATOR_LABELS = "app.kubernetes.io/instance=outbox"
CLEANED_UP = "deployments,replicasets,pods,poddisruptionbudgets"


def restore(cluster: Cluster) -> None:
    """Put operator and resources back as the demo has them, and take those of other tests away."""
    if not operator_available(cluster):
        steps.install_operator(cluster)
        cluster.kubectl("scale", "deployment", "-n", OPERATOR, "-l", OPERATOR_LABELS, "--replicas=1")
        wait_for(cluster, "the operator is available", partial(operator_available, cluster))
    for subscription in cluster.objects("subscriptions.djangooutbox.io"):
        if (name := subscription["metadata"]["name"]) != traffic.SUBSCRIPTION:
            cluster.kubectl("delete", "subscriptions.djangooutbox.io", name, "-n", SHOP, "--ignore-not-found")
    for manifest in ("publisher.yaml", "subscription.yaml"):
        cluster.apply(steps.MANIFESTS / manifest)
    steps.wait_resources_ready(cluster)


def operator_available(cluster: Cluster) -> bool:
    """Whether the operator runs."""
    deployments = cluster.objects("deployments", OPERATOR_LABELS, OPERATOR)
    return bool(deployments) and all(found["status"].get("availableReplicas", 0) >= 1 for found in deployments)


def stop_operator(cluster: Cluster) -> None:
    """Scale the operator to zero and wait until it is gone."""
    cluster.kubectl("scale", "deployment", "-n", OPERATOR, "-l", OPERATOR_LABELS, "--replicas=0")
    wait_for(cluster, "the operator is gone", lambda: not cluster.objects("pods", OPERATOR_LABELS, OPERATOR))


def bill_orders(cluster: Cluster, number: int, seconds: float = 120) -> traffic.Counts:
    """Place orders, wait until each is billed, and return the counts."""
    after = traffic.last_order(cluster)
    traffic.place_by_command(cluster, number)
    return wait_until_billed(cluster, after, number, seconds)


def wait_until_billed(cluster: Cluster, after: int, number: int, seconds: float = 120) -> traffic.Counts:
    """Wait until so many orders after an id are billed; return the counts, which may show more than should be."""

    def billed() -> traffic.Counts | None:
        counts = traffic.count(cluster, after)
        return counts if counts.arrived(number) else None

    return wait_for(cluster, f"{number} orders after {after} are billed", billed, seconds)


def assert_each_billed_once(counts: traffic.Counts, number: int) -> None:
    """Fail unless so many orders were placed and each was published, received and billed exactly once."""
    once = traffic.Counts(
        orders=number,
        published=number,
        scheduled=0,
        failed=0,
        received=number,
        invoices=number,
        distinct_orders=number,
        billed_twice=(),
    )
    assert counts == once


@contextmanager
def orders_being_placed(cluster: Cluster, number: int, per_second: float) -> Iterator[int]:
    """Place orders at a rate while the body runs; gives the id they come after, and ends when all are placed."""
    after = traffic.last_order(cluster)
    with ThreadPoolExecutor(1) as pool:
        placing = pool.submit(traffic.place_by_command, cluster, number, per_second)
        yield after
        assert placing.result(timeout=300)["placed"] == number


def wait_for_progress(cluster: Cluster, after: int, invoices: int) -> None:
    """Wait until some invoices are written, so that what follows hits the work in its middle."""
    wait_for(cluster, f"{invoices} invoices", lambda: traffic.count(cluster, after).invoices >= invoices)


def pod_ids(cluster: Cluster, kind: str, name: str) -> set[str]:
    """Return the uids of the live worker pods of a resource."""
    return {pod["metadata"]["uid"] for pod in cluster.worker_pods(kind, name)}


def kill_workers(cluster: Cluster, kind: str, name: str) -> None:
    """Kill each worker of a resource with SIGKILL, so that it cannot finish or hand back anything.

    Returns when the kubelet has started each one anew; it waits longer after each kill of the same pod's.
    """
    pods = cluster.worker_pods(kind, name)
    killed = {_container_id(pod) for pod in pods if kill_container(pod)}
    assert killed, f"no worker of {kind} {name} ran, so none could be killed"
    wait_for(cluster, f"workers of {kind} {name} run again", partial(_run_anew, cluster, kind, name, killed))


def _run_anew(cluster: Cluster, kind: str, name: str, killed: set[str]) -> bool:
    """Whether all workers run, none in a killed container: what a pod says of itself lags behind a kill."""
    pods = cluster.worker_pods(kind, name)
    return bool(pods) and all(_runs(pod) and _container_id(pod) not in killed for pod in pods)


def _runs(pod: dict[str, Any]) -> bool:
    statuses = pod["status"].get("containerStatuses", [])
    return bool(statuses) and "running" in statuses[0]["state"]


def _container_id(pod: dict[str, Any]) -> str:
    """Return the id of a pod's first container, empty while it has none."""
    statuses = pod["status"].get("containerStatuses", [])
    return str(statuses[0].get("containerID", "")).removeprefix("containerd://") if statuses else ""


def kill_container(pod: dict[str, Any]) -> bool:
    """Send SIGKILL to the first process of a pod's first container; False when it does not run just now.

    From inside a container its first process cannot be killed, so this goes through the node, which is this machine.
    """
    container = _container_id(pod)
    pids = [pid for pid in _processes() if container and container in _cgroups(pid)]
    first = next((pid for pid in pids if _parent(pid) not in pids), None)
    if first is None:
        return False
    os.kill(first, signal.SIGKILL)
    return True


def delete_pods_by_force(cluster: Cluster, kind: str, name: str) -> None:
    """Delete each worker pod of a resource without grace."""
    selector = f"djangooutbox.io/{kind}={name}"
    cluster.kubectl("delete", "pods", "-n", SHOP, "-l", selector, "--grace-period=0", "--force")


def kill_broker(cluster: Cluster) -> None:
    """Kill RabbitMQ's container and wait until it serves again; its data outlives the container, not the pod."""
    (before,) = _broker_pods(cluster)
    assert kill_container(before)
    wait_for(cluster, "RabbitMQ has restarted and is ready", lambda: _restarted(cluster, _restarts(before)))


def leftovers(cluster: Cluster, kind: str, name: str) -> list[str]:
    """Return what is left of a publisher or subscription: its objects of every kind that was made for it."""
    objects = cluster.objects(CLEANED_UP, f"djangooutbox.io/{kind}={name}")
    return [f"{found['kind']}/{found['metadata']['name']}" for found in objects]


def _broker_pods(cluster: Cluster) -> list[dict[str, Any]]:
    return [pod for pod in cluster.objects("pods", "", INFRA) if pod["metadata"]["name"].startswith("rabbitmq")]


def _restarts(pod: dict[str, Any]) -> int:
    return int(pod["status"]["containerStatuses"][0]["restartCount"])


def _restarted(cluster: Cluster, before: int) -> bool:
    pods = _broker_pods(cluster)
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    return any(status["restartCount"] > before and status["ready"] for status in statuses)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def _cgroups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:  # it ended meanwhile
        return ""


def _parent(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[1])
