"""An operator that is down, restarted or uninstalled never disturbs workers, and nothing needs it to be deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.shop.demo import steps, traffic
from examples.shop.demo.cluster import OPERATOR, SHOP
from examples.shop.demo.waits import wait_for
from tests.e2e import actions
from tests.e2e.actions import assert_each_billed_once, bill_orders, leftovers, pod_ids, restore, stop_operator

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster


def worker_ids(cluster: Cluster) -> set[str]:
    """Return the uids of all worker pods of the shop."""
    return pod_ids(cluster, "publisher", traffic.PUBLISHER) | pod_ids(cluster, "subscription", traffic.SUBSCRIPTION)


def test_workers_go_on_billing_while_the_operator_is_down(shop: Cluster) -> None:
    before = worker_ids(shop)
    stop_operator(shop)
    assert_each_billed_once(bill_orders(shop, 30), 30)
    assert worker_ids(shop) == before


def test_an_operator_that_is_killed_comes_back_and_leaves_the_workers_as_they_are(shop: Cluster) -> None:
    before = worker_ids(shop)
    shop.kubectl("delete", "pods", "-n", OPERATOR, "-l", actions.OPERATOR_LABELS, "--grace-period=0", "--force")
    wait_for(shop, "the operator is back", lambda: actions.operator_available(shop))
    # That it works again is seen from something it does: a Deployment deleted now comes back.
    name = f"{traffic.PUBLISHER}-pub"
    subscribers = pod_ids(shop, "subscription", traffic.SUBSCRIPTION)
    shop.kubectl("delete", "deployment", name, "-n", SHOP)
    wait_for(shop, "the Deployment is back", lambda: shop.get("deployment", name))
    steps.wait_resources_ready(shop)
    assert subscribers <= before
    assert pod_ids(shop, "subscription", traffic.SUBSCRIPTION) == subscribers


def test_a_change_made_while_the_operator_was_down_is_carried_out_when_it_returns(shop: Cluster) -> None:
    stop_operator(shop)
    shop.kubectl("delete", "deployment", f"{traffic.SUBSCRIPTION}-sub", "-n", SHOP)
    restore(shop)
    assert_each_billed_once(bill_orders(shop, 10), 10)


def test_uninstalling_leaves_workers_running_and_deleting_the_resources_then_leaves_nothing(shop: Cluster) -> None:
    before = worker_ids(shop)
    shop.rig.helm("uninstall", "outbox", "--namespace", OPERATOR, "--wait", "--timeout", "2m")
    assert not shop.objects("deployments", actions.OPERATOR_LABELS, OPERATOR)
    assert_each_billed_once(bill_orders(shop, 30), 30)
    assert worker_ids(shop) == before
    resources = (("publisher", traffic.PUBLISHER), ("subscription", traffic.SUBSCRIPTION))
    for kind, name in resources:
        shop.kubectl("delete", f"{kind}s.djangooutbox.io", name, "-n", SHOP, "--timeout=30s")
    wait_for(
        shop,
        "nothing left of both",
        lambda: not [left for kind, name in resources for left in leftovers(shop, kind, name)],
        seconds=150,
    )
