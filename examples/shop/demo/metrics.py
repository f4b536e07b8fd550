"""Read the workers' own metrics, straight from their pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster

SHOP = "shop"
PORT = 9090


def scrape(cluster: Cluster, kind: str, name: str) -> list[str]:
    """Return the exposition of each live worker pod of a `publisher` or `subscription`, as its `/metrics` gives it."""
    return [
        cluster.kubectl(
            "get", "--raw", f"/api/v1/namespaces/{SHOP}/pods/{pod['metadata']['name']}:{PORT}/proxy/metrics"
        )
        for pod in cluster.worker_pods(kind, name)
    ]


def total(expositions: list[str], sample: str, **labels: str) -> float | None:
    """Sum a sample over all pods and labels, or only over those labels given; None when no pod has it."""
    values = [
        found.value
        for exposition in expositions
        for family in text_string_to_metric_families(exposition)
        for found in family.samples
        if found.name == sample and labels.items() <= found.labels.items()
    ]
    return sum(values) if values else None
