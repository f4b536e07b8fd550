"""Whatever is killed in the middle of the work, no order is lost and none is billed twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from examples.shop.demo import traffic
from examples.shop.demo.cluster import SHOP
from examples.shop.demo.waits import wait_condition, wait_for, wait_ready
from tests.e2e import actions

if TYPE_CHECKING:
    from examples.shop.demo.cluster import Cluster

# Rows that a killed publisher had claimed come back when their lease ends, after the library's default of 120 s.
AFTER_A_LEASE = 300
SUSPEND = '{"spec": {"state": "Suspended"}}'
RESUME = '{"spec": {"state": "Running"}}'


@pytest.fixture(autouse=True)
def _node_is_this_machine() -> None:
    """Killing a container's first process needs the node's own process table."""
    if os.environ.get("CLUSTER") == "current":
        pytest.skip("CLUSTER=current: the node's processes are not ours to kill; run with the rig's own node")


def test_workers_killed_in_the_middle_lose_no_order_and_bill_none_twice(shop: Cluster) -> None:
    with actions.orders_being_placed(shop, 500, per_second=40) as after:
        for invoices in (40, 120, 200):
            actions.wait_for_progress(shop, after, invoices)
            actions.kill_workers(shop, "publisher", traffic.PUBLISHER)
            actions.kill_workers(shop, "subscription", traffic.SUBSCRIPTION)
    actions.assert_each_billed_once(actions.wait_until_billed(shop, after, 500, AFTER_A_LEASE), 500)


def test_worker_pods_deleted_by_force_lose_no_order_and_bill_none_twice(shop: Cluster) -> None:
    with actions.orders_being_placed(shop, 300, per_second=30) as after:
        for invoices in (30, 90):
            actions.wait_for_progress(shop, after, invoices)
            actions.delete_pods_by_force(shop, "publisher", traffic.PUBLISHER)
            actions.delete_pods_by_force(shop, "subscription", traffic.SUBSCRIPTION)
    actions.assert_each_billed_once(actions.wait_until_billed(shop, after, 300, AFTER_A_LEASE), 300)


def test_a_broker_killed_in_the_middle_loses_no_order(shop: Cluster) -> None:
    with actions.orders_being_placed(shop, 300, per_second=30) as after:
        actions.wait_for_progress(shop, after, 30)
        actions.kill_broker(shop)
    actions.assert_each_billed_once(actions.wait_until_billed(shop, after, 300, AFTER_A_LEASE), 300)


def test_messages_that_wait_in_the_queue_outlive_a_kill_of_the_broker(shop: Cluster) -> None:
    _patch(shop, SUSPEND)
    wait_condition(shop, "subscription", traffic.SUBSCRIPTION, lambda ready: ready["reason"] == "Suspended")
    wait_for(shop, "no subscriber", lambda: not actions.pod_ids(shop, "subscription", traffic.SUBSCRIPTION))
    after = traffic.last_order(shop)
    traffic.place_by_command(shop, 200)
    wait_for(shop, "200 orders published", lambda: traffic.count(shop, after).published == 200)
    actions.kill_broker(shop)
    _patch(shop, RESUME)
    wait_ready(shop, "subscription", traffic.SUBSCRIPTION)
    actions.assert_each_billed_once(actions.wait_until_billed(shop, after, 200), 200)


def _patch(shop: Cluster, patch: str) -> None:
    shop.kubectl(
        "patch", "subscriptions.djangooutbox.io", traffic.SUBSCRIPTION, "-n", SHOP, "--type=merge", "-p", patch
    )
