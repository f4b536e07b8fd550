"""Each alert fires when it should and keeps quiet when it should, on series like those that workers export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chart.alerting import Fired, Prometheus

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = 'namespace="shop",publisher="orders",pod="orders-1"'
BILLING = 'namespace="shop",subscription="billing",pod="billing-1"'
OLDEST = 'outbox_oldest_pending_timestamp_seconds{destination="/topic/a",%s}'
FAILED = 'outbox_failed_messages{destination="/topic/a",%s}'
BEAT = 'outbox_loop_last_success_timestamp_seconds{role="%s",%s}'
CONNECTED = 'outbox_broker_connected{host="%s",%s}'
RECEIVED = 'outbox_received_messages_total{queue="q",result="%s",%s}'
CONDITION = (
    'outbox_operator_resource_condition{kind="Publisher",namespace="shop",name="orders",condition="%s",status="%s"}'
)
DESTINATION = {"namespace": "shop", "publisher": "orders", "destination": "/topic/a"}
RESOURCE = {"kind": "Publisher", "namespace": "shop", "name": "orders"}
WAITS = "Messages of shop/orders wait to be published"


@pytest.fixture
def prometheus(tmp_path: Path) -> Prometheus:
    return Prometheus(tmp_path)


def fires(labels: dict[str, str], severity: str, summary: str) -> list[Fired]:
    """Return one expected alert."""
    return [Fired({**labels, "severity": severity}, summary)]


def test_a_message_that_waits_for_six_minutes_is_a_warning(prometheus: Prometheus) -> None:
    series = {OLDEST % ORDERS: "0+0x60"}
    assert not prometheus.difference("OutboxOldestMessageTooOld", series, "5m", [])
    expected = fires(DESTINATION, "warning", WAITS)
    assert not prometheus.difference("OutboxOldestMessageTooOld", series, "8m", expected)


def test_a_message_that_waits_for_half_an_hour_is_critical_too(prometheus: Prometheus) -> None:
    series = {OLDEST % ORDERS: "0+0x60"}
    expected = fires(DESTINATION, "critical", WAITS) + fires(DESTINATION, "warning", WAITS)
    assert not prometheus.difference("OutboxOldestMessageTooOld", series, "35m", expected)


def test_a_backlog_that_moves_on_is_not_too_old(prometheus: Prometheus) -> None:
    assert not prometheus.difference("OutboxOldestMessageTooOld", {OLDEST % ORDERS: "0+60x60"}, "40m", [])


def test_an_empty_outbox_is_not_too_old(prometheus: Prometheus) -> None:
    pending = f'outbox_pending_messages{{destination="/topic/a",{ORDERS}}}'
    assert not prometheus.difference("OutboxOldestMessageTooOld", {pending: "0+0x60"}, "40m", [])


def test_replicas_of_a_publisher_alert_once_for_their_common_table(prometheus: Prometheus) -> None:
    replicas = (ORDERS, ORDERS.replace("orders-1", "orders-2"))
    series = {OLDEST % pod: "0+0x60" for pod in replicas} | {FAILED % pod: "3+0x60" for pod in replicas}
    expected = fires(DESTINATION, "warning", WAITS)
    assert not prometheus.difference("OutboxOldestMessageTooOld", series, "8m", expected)
    expected = fires(DESTINATION, "warning", "shop/orders has given up on 3 message(s)")
    assert not prometheus.difference("OutboxMessagesFailed", series, "8m", expected)


def test_one_failed_message_is_a_warning_until_it_is_gone(prometheus: Prometheus) -> None:
    series = {FAILED % ORDERS: "0 0 1 1 1 1 1 0 0 0"}
    assert not prometheus.difference("OutboxMessagesFailed", series, "1m", [])
    expected = fires(DESTINATION, "warning", "shop/orders has given up on 1 message(s)")
    assert not prometheus.difference("OutboxMessagesFailed", series, "5m", expected)
    assert not prometheus.difference("OutboxMessagesFailed", series, "8m", [])


@pytest.mark.parametrize(
    ("alert", "role", "worker", "labels", "summary"),
    [
        (
            "OutboxPublisherStalled",
            "publisher",
            ORDERS,
            {"namespace": "shop", "publisher": "orders", "pod": "orders-1"},
            "A publisher pod of shop/orders does not get anything done",
        ),
        (
            "OutboxSubscriptionStalled",
            "subscription",
            BILLING,
            {"namespace": "shop", "subscription": "billing", "pod": "billing-1"},
            "A pod of subscription shop/billing does not get anything done",
        ),
    ],
    ids=["publisher", "subscription"],
)
def test_a_loop_that_stands_still_is_critical_after_three_minutes(
    prometheus: Prometheus, alert: str, role: str, worker: str, labels: dict[str, str], summary: str
) -> None:
    hung = {BEAT % (role, worker): "0+0x20"}
    assert not prometheus.difference(alert, hung, "2m", [])
    assert not prometheus.difference(alert, hung, "5m", fires(labels, "critical", summary))
    assert not prometheus.difference(alert, {BEAT % (role, worker): "0+60x20"}, "15m", [])


def test_a_hung_replica_is_told_although_another_one_works(prometheus: Prometheus) -> None:
    well = ORDERS.replace("orders-1", "orders-2")
    series = {BEAT % ("publisher", ORDERS): "0+0x20", BEAT % ("publisher", well): "0+60x20"}
    labels = {"namespace": "shop", "publisher": "orders", "pod": "orders-1"}
    expected = fires(labels, "critical", "A publisher pod of shop/orders does not get anything done")
    assert not prometheus.difference("OutboxPublisherStalled", series, "5m", expected)


def test_a_worker_without_broker_is_critical_after_two_minutes(prometheus: Prometheus) -> None:
    series = {CONNECTED % ("a", ORDERS): "1 1 0+0x20", CONNECTED % ("a", BILLING): "1+0x20"}
    assert not prometheus.difference("OutboxBrokerDisconnected", series, "3m", [])
    labels = {"namespace": "shop", "publisher": "orders", "pod": "orders-1"}
    expected = fires(labels, "critical", "shop/orders-1 has no connection to the broker")
    assert not prometheus.difference("OutboxBrokerDisconnected", series, "5m", expected)


def test_a_worker_on_the_second_of_two_brokers_is_connected(prometheus: Prometheus) -> None:
    series = {CONNECTED % ("a", ORDERS): "0+0x20", CONNECTED % ("b", ORDERS): "1+0x20"}
    assert not prometheus.difference("OutboxBrokerDisconnected", series, "10m", [])


def test_a_short_reconnect_is_no_alert(prometheus: Prometheus) -> None:
    series = {CONNECTED % ("a", ORDERS): "1 1 0 1 1 1 1 1 1"}
    assert not prometheus.difference("OutboxBrokerDisconnected", series, "4m", [])


def test_a_fifth_of_deliveries_in_error_is_a_warning(prometheus: Prometheus) -> None:
    series = {RECEIVED % ("error", BILLING): "0+20x40", RECEIVED % ("ack", BILLING): "0+80x40"}
    labels = {"namespace": "shop", "subscription": "billing", "queue": "q"}
    expected = fires(labels, "warning", "20% of the deliveries to shop/billing end in an error")
    assert not prometheus.difference("SubscriptionErrorRatioHigh", series, "30m", expected)


@pytest.mark.parametrize(
    ("errors", "acks"), [("0+5x40", "0+95x40"), ("0+0x40", "0+0x40")], ids=["a twentieth", "no deliveries"]
)
def test_few_errors_are_no_alert(prometheus: Prometheus, errors: str, acks: str) -> None:
    series = {RECEIVED % ("error", BILLING): errors, RECEIVED % ("ack", BILLING): acks}
    assert not prometheus.difference("SubscriptionErrorRatioHigh", series, "30m", [])


@pytest.mark.parametrize("status", ["False", "Unknown"])
def test_a_resource_that_is_not_ready_for_a_quarter_of_an_hour_is_a_warning(
    prometheus: Prometheus, status: str
) -> None:
    series = {CONDITION % ("Ready", "True"): "0+0x40", CONDITION % ("Ready", status): "1+0x40"}
    assert not prometheus.difference("OutboxResourceNotReady", series, "10m", [])
    expected = fires(RESOURCE, "warning", "Publisher shop/orders is not ready")
    assert not prometheus.difference("OutboxResourceNotReady", series, "20m", expected)


def test_a_ready_resource_is_no_alert(prometheus: Prometheus) -> None:
    series = {CONDITION % ("Ready", "True"): "1+0x40", CONDITION % ("Ready", "False"): "0+0x40"}
    assert not prometheus.difference("OutboxResourceNotReady", series, "20m", [])


def test_a_resource_that_somebody_suspended_is_no_alert(prometheus: Prometheus) -> None:
    series = {CONDITION % ("Ready", "False"): "1+0x40", CONDITION % ("Suspended", "True"): "1+0x40"}
    assert not prometheus.difference("OutboxResourceNotReady", series, "20m", [])
    resumed = {CONDITION % ("Ready", "False"): "1+0x40", CONDITION % ("Suspended", "True"): "0+0x40"}
    expected = fires(RESOURCE, "warning", "Publisher shop/orders is not ready")
    assert not prometheus.difference("OutboxResourceNotReady", resumed, "20m", expected)


def test_autoscaling_that_does_not_work_for_a_quarter_of_an_hour_is_a_warning(prometheus: Prometheus) -> None:
    series = {CONDITION % ("AutoscalingReady", "False"): "1+0x40", CONDITION % ("Ready", "True"): "1+0x40"}
    assert not prometheus.difference("OutboxAutoscalingNotReady", series, "10m", [])
    expected = fires(RESOURCE, "warning", "The workers of Publisher shop/orders are not scaled by the backlog")
    assert not prometheus.difference("OutboxAutoscalingNotReady", series, "20m", expected)


@pytest.mark.parametrize(
    "series",
    [
        {CONDITION % ("AutoscalingReady", "Unknown"): "1+0x40", CONDITION % ("AutoscalingReady", "False"): "0+0x40"},
        {CONDITION % ("AutoscalingReady", "False"): "1+0x40", CONDITION % ("Suspended", "True"): "1+0x40"},
    ],
    ids=["none configured", "suspended"],
)
def test_autoscaling_that_nobody_wants_is_no_alert(prometheus: Prometheus, series: dict[str, str]) -> None:
    assert not prometheus.difference("OutboxAutoscalingNotReady", series, "20m", [])


def test_an_operator_that_is_not_there_is_critical(prometheus: Prometheus) -> None:
    elsewhere = {'outbox_operator_build_info{namespace="other"}': "1+0x40"}
    assert not prometheus.difference("OutboxOperatorDown", elsewhere, "5m", [])
    expected = fires({"namespace": "outbox-system"}, "critical", "The outbox operator is not running, or not scraped")
    assert not prometheus.difference("OutboxOperatorDown", elsewhere, "15m", expected)


def test_an_operator_that_is_there_is_no_alert(prometheus: Prometheus) -> None:
    series = {'outbox_operator_build_info{namespace="outbox-system",version="0.1.0"}': "1+0x40"}
    assert not prometheus.difference("OutboxOperatorDown", series, "15m", [])
