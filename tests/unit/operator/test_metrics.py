"""What the operator's port shows: one sample for each status of each condition of each resource that exists."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from outbox_operator import metrics
from outbox_operator.api.resource import PUBLISHER, SUBSCRIPTION, Key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

ORDERS = Key(PUBLISHER, "shop", "orders")
BILLING = Key(SUBSCRIPTION, "shop", "billing")


def conditions(**statuses: str) -> list[dict[str, Any]]:
    return [{"type": type_, "status": status} for type_, status in statuses.items()]


def families() -> Iterator[Metric]:
    yield from text_string_to_metric_families(metrics.exposition().decode())


def shown(key: Key) -> dict[tuple[str, str], float]:
    (found,) = (family for family in families() if family.name == metrics.CONDITION_NAME)
    return {
        (sample.labels["condition"], sample.labels["status"]): sample.value
        for sample in found.samples
        if (sample.labels["kind"], sample.labels["namespace"], sample.labels["name"]) == (key.kind.name, *key[1:])
    }


def test_the_present_status_of_each_condition_is_1_and_the_others_are_0() -> None:
    metrics.set_conditions(ORDERS, conditions(Ready="False"))
    metrics.set_conditions(ORDERS, conditions(Ready="True", Suspended="False"))
    metrics.set_conditions(BILLING, conditions(Ready="Unknown"))
    assert shown(ORDERS) == {
        ("Ready", "True"): 1,
        ("Ready", "False"): 0,
        ("Ready", "Unknown"): 0,
        ("Suspended", "True"): 0,
        ("Suspended", "False"): 1,
        ("Suspended", "Unknown"): 0,
    }
    metrics.forget_resource(ORDERS)
    assert shown(ORDERS) == {}
    assert shown(BILLING)["Ready", "Unknown"] == 1
    metrics.forget_resource(BILLING)


def test_each_metric_has_one_heading() -> None:
    metrics.set_conditions(ORDERS, conditions(Ready="True"))
    headings = Counter(line for line in metrics.exposition().decode().splitlines() if line.startswith("# TYPE"))
    metrics.forget_resource(ORDERS)
    assert set(headings.values()) == {1}
    assert f"# TYPE {metrics.CONDITION_NAME} gauge" in headings
