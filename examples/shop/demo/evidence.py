"""What a person would look at when the shop does not do what it should; printed when a deadline passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.shop.demo.cluster import INFRA, OPERATOR, SHOP

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster

LOG_LINES = "40"


def collect(cluster: Cluster) -> str:
    """Return the state of the shop, its servers and the operator as text: objects, conditions, events, logs."""
    looks: list[tuple[str, ...]] = [
        ("get", "publishers.djangooutbox.io,subscriptions.djangooutbox.io,deployments,pods", "-n", SHOP, "-o", "wide"),
        ("get", "pods", "-n", INFRA, "-o", "wide"),
        ("describe", "publishers.djangooutbox.io,subscriptions.djangooutbox.io", "-n", SHOP),
        ("get", "events", "-n", SHOP, "--sort-by=.lastTimestamp"),
        logs_of(SHOP, "djangooutbox.io/component=worker"),
    ]
    return f"{_show(cluster, looks)}\n{of_operator(cluster)}"


def of_operator(cluster: Cluster) -> str:
    """Return the state of the operator's own pods."""
    looks = [
        ("get", "pods", "-n", OPERATOR, "-o", "wide"),
        ("get", "events", "-n", OPERATOR, "--sort-by=.lastTimestamp"),
        logs_of(OPERATOR, "app.kubernetes.io/instance=outbox"),
    ]
    return _show(cluster, looks)


def logs_of(namespace: str, selector: str) -> tuple[str, ...]:
    """Return the kubectl arguments that show the last log lines of pods."""
    return ("logs", "-n", namespace, "-l", selector, "--tail", LOG_LINES, "--prefix", "--all-containers")


def _show(cluster: Cluster, looks: list[tuple[str, ...]]) -> str:
    return "\n".join(f"--- kubectl {' '.join(look)}\n{cluster.try_kubectl(*look)}" for look in looks)
