"""A Publisher is scaled by what its workers export, as a real Prometheus has it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from tests.cluster.manifests import publisher
from tests.cluster.predicates import replicas
from tests.keda.conftest import NAMESPACE
from tests.keda.resources import QUICK
from tests.rig.process import Daemon, find_program, free_port
from tests.rig.web import answers_ok

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster.operator_process import Cluster

SECONDS = 90.0


class Workers:
    """What the workers of a Publisher export, as the chart's PodMonitor labels it."""

    def __init__(self, name: str) -> None:
        self._labels = {"namespace": NAMESPACE, "publisher": name}
        self._registry = CollectorRegistry()
        self._pending = self._gauge("outbox_pending_messages", "destination")
        self._info = self._gauge("outbox_worker_info")
        self._server, self._thread = start_http_server(0, "127.0.0.1", self._registry)
        self.address = f"127.0.0.1:{self._server.server_port}"

    def pending(self, **numbers: int) -> None:
        """Export so many unsent messages by destination; of none there is no series."""
        self._info.labels(**self._labels).set(1)
        self._pending.clear()
        for destination, number in numbers.items():
            self._pending.labels(**self._labels, destination=destination).set(number)

    def forget(self) -> None:
        """Export nothing, as when no worker is scraped."""
        self._pending.clear()
        self._info.clear()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _gauge(self, name: str, *labels: str) -> Gauge:
        return Gauge(name, name, [*self._labels, *labels], registry=self._registry)


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """A Prometheus that looks at one address every second; gives its own."""
    scrape = {"job_name": "workers", "honor_labels": True, "static_configs": [{"targets": [target]}]}
    configuration = folder / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}))
    address = f"127.0.0.1:{free_port()}"
    options = {
        "config.file": str(configuration),
        "storage.tsdb.path": str(folder / "data"),
        "web.listen-address": address,
    }
    program = str(find_program("prometheus", package="prometheus"))
    daemon = Daemon("prometheus", [program, *(f"--{name}={value}" for name, value in options.items())], folder)
    daemon.start()
    try:
        daemon.wait_ready("ready", lambda: answers_ok(f"http://{address}/-/ready"), seconds=60)
        yield f"http://{address}"
    finally:
        daemon.stop()


@pytest.fixture
def workers(name: str) -> Iterator[Workers]:
    found = Workers(name)
    try:
        yield found
    finally:
        found.close()


def by_prometheus(url: str) -> dict[str, Any]:
    fallback = {"failureThreshold": 2}
    source = {"type": "Prometheus", "prometheus": {"serverAddress": url}}
    return {**QUICK, "minReplicas": 1, "fallback": fallback, "source": source}


def test_publishers_follow_what_prometheus_knows_of_them_and_stay_while_it_knows_nothing(
    scaled: Cluster, workers: Workers, tmp_path: Path, name: str
) -> None:
    workers.pending()
    with prometheus(tmp_path, workers.address) as url:
        scaled.apply(publisher(name, autoscaling=by_prometheus(url)))
        scaled.wait_condition("obpub", name, "AutoscalingReady", "True", "Scaling")
        scaled.wait("deployment", f"{name}-pub", "the least number", replicas(1), SECONDS)
        workers.pending(orders=20, payments=15)
        scaled.wait("deployment", f"{name}-pub", "4 workers for 35 messages", replicas(4), SECONDS)
        workers.pending()
        scaled.wait("deployment", f"{name}-pub", "a known 0", replicas(1), SECONDS)
        workers.pending(orders=25)
        scaled.wait("deployment", f"{name}-pub", "3 workers for 25 messages", replicas(3), SECONDS)
        workers.forget()
        scaled.wait_condition("obpub", name, "AutoscalingReady", "False", "FallbackActive")
        assert replicas(3)(scaled.must_get("deployment", f"{name}-pub"))
