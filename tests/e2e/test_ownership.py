"""What belongs to a resource comes back when it is taken away, and goes away with the resource."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.shop.demo import steps, traffic
from examples.shop.demo.cluster import SHOP
from examples.shop.demo.waits import wait_for, wait_ready
from tests.e2e.actions import assert_each_billed_once, bill_orders, leftovers, wait_until_billed

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster

WORKERS = f"{traffic.SUBSCRIPTION}-sub"


def test_a_worker_deployment_that_is_deleted_comes_back_and_works(shop: Cluster) -> None:
    before = shop.get("deployment", WORKERS)
    assert before is not None
    shop.kubectl("delete", "deployment", WORKERS, "-n", SHOP)

    def replaced() -> bool:
        found = shop.get("deployment", WORKERS)
        return found is not None and found["metadata"]["uid"] != before["metadata"]["uid"]

    wait_for(shop, "a new worker Deployment", replaced, seconds=60)
    assert_each_billed_once(bill_orders(shop, 20), 20)


def test_a_worker_deployment_that_is_edited_is_put_right(shop: Cluster) -> None:
    shop.kubectl("set", "image", f"deployment/{WORKERS}", "worker=localhost/shop:edited", "-n", SHOP)

    def put_right() -> bool:
        found = shop.get("deployment", WORKERS)
        return found is not None and _image(found) == "localhost/shop:dev"

    wait_for(shop, "the image put right", put_right, seconds=60)


def test_a_subscription_that_is_deleted_takes_everything_of_it_along(shop: Cluster) -> None:
    subscription = shop.get("subscriptions.djangooutbox.io", traffic.SUBSCRIPTION)
    assert subscription is not None
    assert "finalizers" not in subscription["metadata"]
    assert leftovers(shop, "subscription", traffic.SUBSCRIPTION)
    shop.kubectl("delete", "subscriptions.djangooutbox.io", traffic.SUBSCRIPTION, "-n", SHOP, "--timeout=30s")
    wait_for(shop, "nothing left of it", lambda: not leftovers(shop, "subscription", traffic.SUBSCRIPTION), seconds=150)


def test_orders_placed_while_there_is_no_subscription_wait_in_the_queue(shop: Cluster) -> None:
    shop.kubectl("delete", "subscriptions.djangooutbox.io", traffic.SUBSCRIPTION, "-n", SHOP, "--timeout=30s")
    wait_for(shop, "nothing left of it", lambda: not leftovers(shop, "subscription", traffic.SUBSCRIPTION), seconds=150)
    after = traffic.last_order(shop)
    traffic.place_by_command(shop, 30)
    wait_for(shop, "30 orders published", lambda: traffic.count(shop, after).published == 30)
    assert traffic.count(shop, after).invoices == 0
    shop.apply(steps.MANIFESTS / "subscription.yaml")
    wait_ready(shop, "subscription", traffic.SUBSCRIPTION)
    assert_each_billed_once(wait_until_billed(shop, after, 30), 30)


def _image(deployment: dict[str, dict[str, dict[str, dict[str, list[dict[str, str]]]]]]) -> str:
    return deployment["spec"]["template"]["spec"]["containers"][0]["image"]
