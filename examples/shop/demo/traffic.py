"""Place orders with the shop, over HTTP and by its command, and count what became of them."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from examples.shop.demo import metrics
from examples.shop.demo.cluster import SHOP

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster

PUBLISHER = "orders"
SUBSCRIPTION = "billing-order-placed"
# Runs in a pod of the shop, as any client in the cluster would: through DNS and the Service. A refusal raises.
POST_ORDERS = f"""
import json, sys, urllib.request
for number in range(int(sys.argv[1])):
    body = json.dumps({{"customer": "Ada", "amount": f"{{number + 1}}.50"}}).encode()
    headers = {{"Content-Type": "application/json"}}
    urllib.request.urlopen(urllib.request.Request("http://orders.{SHOP}.svc/orders", body, headers), timeout=30)
"""


@dataclass(frozen=True)
class Counts:
    """What both databases say about the orders of one run."""

    orders: int
    published: int
    scheduled: int
    failed: int
    received: int
    invoices: int
    distinct_orders: int
    billed_twice: tuple[int, ...]
    seconds: float | None = field(default=None, compare=False)
    """From the first order placed to the last invoice written, by the services' own clocks."""

    def arrived(self, wanted: int) -> bool:
        """Whether each of so many orders was published, received and billed; more than that is a fault, not a wait."""
        return min(self.orders, self.published, self.received, self.distinct_orders) >= wanted


@dataclass(frozen=True)
class WorkerCounts:
    """What the workers say of themselves; None where no worker knows."""

    backlog: float | None
    publish_retries: float | None
    redeliveries: float | None


def last_order(cluster: Cluster) -> int:
    """Return the id of the newest order, 0 when there is none: a run counts the orders after it."""
    return int(_manage(cluster, "orders", "report")["last_id"])


def place_over_http(cluster: Cluster, number: int) -> None:
    """Place orders with POST requests to the service."""
    cluster.kubectl("exec", "-n", SHOP, "deploy/orders", "--", "python", "-c", POST_ORDERS, str(number))


def place_by_command(cluster: Cluster, number: int, per_second: float | None = None) -> dict[str, Any]:
    """Place orders with the service's `place_orders`; return what it reports."""
    rate = ["--per-second", str(per_second)] if per_second else []
    return _manage(cluster, "orders", "place_orders", str(number), *rate)


def count(cluster: Cluster, after: int) -> Counts:
    """Count orders with an id larger than `after`, and what became of them in both services."""
    placed = _manage(cluster, "orders", "report", "--after", str(after))
    billed = _manage(cluster, "billing", "report", "--after", str(after))
    return Counts(
        orders=placed["orders"],
        published=placed["published"],
        scheduled=placed["scheduled"],
        failed=placed["failed"],
        received=billed["received"],
        invoices=billed["invoices"],
        distinct_orders=billed["distinct_orders"],
        billed_twice=tuple(billed["billed_twice"]),
        seconds=_between(placed["first_placed"], billed["last_written"]),
    )


def _between(first: float | None, last: float | None) -> float | None:
    return None if first is None or last is None else last - first


def ask_workers(cluster: Cluster) -> WorkerCounts:
    """Scrape both services' workers."""
    publishers = metrics.scrape(cluster, "publisher", PUBLISHER)
    subscribers = metrics.scrape(cluster, "subscription", SUBSCRIPTION)
    return WorkerCounts(
        backlog=_zero_if_seen(publishers, "outbox_pending_messages"),
        publish_retries=_zero_if_seen(publishers, "outbox_publish_retries_total"),
        redeliveries=_zero_if_seen(subscribers, "outbox_redelivered_messages_total"),
    )


def _zero_if_seen(expositions: list[str], sample: str) -> float | None:
    """Return a sum; a worker that answered and has no series of a counter never counted anything."""
    if not expositions:
        return None
    return metrics.total(expositions, sample) or 0.0


def _manage(cluster: Cluster, service: str, *arguments: str) -> dict[str, Any]:
    """Run a management command of a service in the orders pod and return the JSON that it prints.

    Both services are in that image; billing's environment is handed in, because its workers may be down just now.
    """
    environment = [] if service == "orders" else _billing_environment(cluster)
    command = ["exec", "-n", SHOP, "deploy/orders", "--", "env", *environment, "python", "manage.py", *arguments]
    answer = cluster.kubectl(*command)
    return dict(json.loads(answer.strip().splitlines()[-1]))


def _billing_environment(cluster: Cluster) -> list[str]:
    secret = cluster.get("secret", "billing-env") or {"data": {}}
    url = base64.b64decode(secret["data"]["DATABASE_URL"]).decode()
    return ["DJANGO_SETTINGS_MODULE=billing.settings", f"DATABASE_URL={url}"]
