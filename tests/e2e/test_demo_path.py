"""The main job: orders placed in one service are billed in the other, each exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.shop.demo import traffic
from examples.shop.demo.waits import wait_for
from tests.e2e.actions import assert_each_billed_once, wait_until_billed

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster


def test_200_orders_placed_over_http_and_by_command_are_billed_exactly_once(shop: Cluster) -> None:
    after = traffic.last_order(shop)
    traffic.place_over_http(shop, 10)
    traffic.place_by_command(shop, 190)
    assert_each_billed_once(wait_until_billed(shop, after, 200), 200)


def test_the_publishers_backlog_as_scraped_from_its_metrics_empties(shop: Cluster) -> None:
    after = traffic.last_order(shop)
    traffic.place_by_command(shop, 20)
    wait_until_billed(shop, after, 20)
    wait_for(shop, "a backlog of 0", lambda: traffic.ask_workers(shop).backlog == 0, seconds=30)


def test_both_resources_print_their_columns(shop: Cluster) -> None:
    printed = shop.kubectl("get", "obpub,obsub", "-n", "shop")
    rows = [line.split() for line in printed.splitlines() if line.strip()]
    assert rows[0] == ["NAME", "DESIRED", "READY", "STATUS", "REASON", "AGE"]
    assert rows[1][:5] == ["publisher.djangooutbox.io/orders", "1", "1", "True", "WorkersAvailable"]
    assert rows[2] == ["NAME", "QUEUE", "DESIRED", "READY", "STATUS", "REASON", "AGE"]
    name = f"subscription.djangooutbox.io/{traffic.SUBSCRIPTION}"
    assert rows[3][:6] == [name, "billing-order-placed", "1", "1", "True", "WorkersAvailable"]
