"""A worker that never got anything done still exports what the alerts compare: no series would mean no alert."""

from __future__ import annotations

import os
import socket
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.chart.rendering import ROOT
from tests.rig.process import Daemon, free_port, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOP = ROOT / "examples" / "shop"
PUBLISH = ("orders", ["publish"])
SUBSCRIBE = ("billing", ["subscribe", "billing.callbacks.bill_order", "/topic/order.placed", "billing-order-placed"])


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port that is taken, so that nobody else begins to listen on it, and that refuses connections."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.mark.parametrize(("service", "command"), [PUBLISH, SUBSCRIBE], ids=["publisher", "subscription"])
def test_a_worker_that_never_reached_its_broker_says_that_it_is_not_connected(
    service: str, command: list[str], closed_port: int, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": f"{service}.settings",
        "SECRET_KEY": "test-only",
        "DATABASE_URL": f"sqlite:///{tmp_path}/{service}.sqlite3",
        "BROKER_PORT": str(closed_port),
        "PYTHONPATH": f"{ROOT}:{SHOP}",
    }
    manage = [sys.executable, str(SHOP / "manage.py")]
    run([*manage, "migrate", "-v", "0"], environment=environment)
    port = free_port()
    worker = Daemon(service, [*manage, *command, "--metrics-port", str(port)], tmp_path, environment)
    worker.start()
    try:
        worker.wait_ready("serves metrics", lambda: _scrape(port) is not None, seconds=30)
        worker.wait_ready("says it is not connected", lambda: _connected(port) == {closed_port: 0.0}, seconds=30)
    finally:
        worker.stop()


def _connected(port: int) -> dict[int, float]:
    families = text_string_to_metric_families(_scrape(port))
    samples = [sample for family in families if family.name == "outbox_broker_connected" for sample in family.samples]
    return {int(sample.labels["host"].rpartition(":")[2]): sample.value for sample in samples}


def _scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())
