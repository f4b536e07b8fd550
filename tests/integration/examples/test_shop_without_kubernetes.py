"""The shop on plain servers: what its README says about a laptop, with real RabbitMQ and PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.rig.hostservices import Postgres, RabbitMQ

ROOT = Path(__file__).parents[3]
SHOP = ROOT / "examples" / "shop"
QUEUE = "billing-order-placed"
ORDERS = 200


class Shop:
    """Both services with their databases, each command a process of its own."""

    def __init__(self, rabbitmq: RabbitMQ, postgres: Postgres, logs: Path) -> None:
        self.rabbitmq = rabbitmq
        self.postgres = postgres
        self.logs = logs

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of one service, as a Secret and a ConfigMap would give it."""
        server = self.postgres
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": f"{service}.settings",
            "DATABASE_URL": f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/shop_{service}",
            "SECRET_KEY": "tests-only",
            "BROKER_HOST": self.rabbitmq.host,
            "BROKER_PORT": str(self.rabbitmq.stomp_port),
            "BROKER_USERNAME": self.rabbitmq.username,
            "BROKER_PASSCODE": self.rabbitmq.passcode,
            "PYTHONPATH": str(ROOT),
        }

    def manage(self, service: str, *arguments: str) -> str:
        """Run a command to its end and return its output."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=SHOP, env=self.environment(service), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def report(self, service: str) -> dict[str, Any]:
        """Return a service's own counts."""
        return dict(json.loads(self.manage(service, "report").splitlines()[-1]))

    @contextmanager
    def worker(self, service: str, *arguments: str) -> Iterator[None]:
        """Run a worker while the body runs; it must stop by itself, with exit code 0, when asked to."""
        log = self.logs / f"{service}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=SHOP, env=self.environment(service), stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0, tail(log)
        finally:
            process.kill()
            process.wait()

    def consumers(self) -> int:
        """Return how many subscribers the queue has."""
        found = self.rabbitmq.count(QUEUE)
        return found.consumers if found else 0

    def state(self) -> str:
        """Return what both services count and the ends of their workers' logs."""
        reports = f"orders {self.report('orders')}\nbilling {self.report('billing')}"
        return "\n".join([reports, *(tail(log) for log in self.logs.glob("*.log"))])


@pytest.fixture
def shop(rabbitmq: RabbitMQ, postgres: Postgres, tmp_path: Path) -> Iterator[Shop]:
    """Return the shop with fresh, migrated databases and no queue."""
    found = Shop(rabbitmq, postgres, tmp_path)
    for service in ("orders", "billing"):
        postgres.drop_database(f"shop_{service}")
        postgres.create_database(f"shop_{service}")
        found.manage(service, "migrate", "--no-input")
    rabbitmq.delete_queue(QUEUE)
    yield found
    rabbitmq.delete_queue(QUEUE)
    rabbitmq.delete_queue(f"DLQ.{QUEUE}")


def test_orders_are_billed_exactly_once_by_two_plain_processes(shop: Shop) -> None:
    subscribe = ("subscribe", "billing.callbacks.bill_order", "/topic/order.placed", QUEUE)
    with shop.worker("billing", *subscribe), shop.worker("orders", "publish"):
        wait_until("a subscriber on the queue", shop.consumers, seconds=60, state=shop.state)
        shop.manage("orders", "place_orders", str(ORDERS))
        wait_until("all orders billed", lambda: done(shop), seconds=60, state=shop.state, every=1)
    billed = {"received": ORDERS, "invoices": ORDERS, "distinct_orders": ORDERS, "billed_twice": []}
    assert shop.report("billing").items() >= billed.items()
    assert shop.rabbitmq.queue_depth(QUEUE) == 0


def done(shop: Shop) -> bool:
    """Whether each order has an invoice, and the broker's confirm is noted; a message may arrive before that note."""
    billed, placed = shop.report("billing"), shop.report("orders")
    return bool(billed["distinct_orders"] >= ORDERS and placed["published"] == ORDERS)
