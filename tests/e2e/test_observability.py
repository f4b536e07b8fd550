"""A real Prometheus scrapes what the chart's own PodMonitors select, and every query of the chart answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from examples.shop.demo import steps, traffic
from examples.shop.demo.cluster import OPERATOR, SHOP
from examples.shop.demo.waits import wait_for
from tests.rig.prometheus import Prometheus
from tests.rig.waiting import RigTimeoutError
from tools.dashboards.queries import Expression, expressions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.shop.demo.cluster import Cluster

OBSERVABILITY = ("podMonitor.enabled=true", "prometheusRule.enabled=true", "dashboards.enabled=true")
# RabbitMQ refuses a SEND to an exchange that nobody declared: such a row waits and is retried, and so leaves series.
REFUSED = "/exchange/nobody-declared-this/order.e2e"


@pytest.fixture(scope="module")
def manifests(cluster: Cluster) -> list[dict[str, Any]]:
    """Return the chart's objects with everything for observability switched on."""
    settings = [word for setting in OBSERVABILITY for word in ("--set", setting)]
    image = ["--set", f"image.repository={steps.OPERATOR_IMAGE}"]
    rendered = cluster.rig.helm("template", "outbox", str(steps.CHART), "--namespace", OPERATOR, *image, *settings)
    return [document for document in yaml.safe_load_all(rendered) if document]


@pytest.fixture
def prometheus(shop: Cluster, manifests: list[dict[str, Any]]) -> Iterator[Prometheus]:
    """Return a Prometheus of this machine that scrapes the pods which the chart's PodMonitors select."""
    with Prometheus(shop.rig, manifests) as running:
        yield running


@pytest.fixture
def a_row_that_is_refused(shop: Cluster) -> Iterator[None]:
    """Keep a row in the outbox that the broker refuses, so that something is pending and retried."""
    create = f"from django_outbox.models import Published as P; P.objects.create(destination='{REFUSED}', body={{}})"
    delete = f"from django_outbox.models import Published as P; P.objects.filter(destination='{REFUSED}').delete()"
    run_in_orders(shop, create)
    yield
    run_in_orders(shop, delete)


@pytest.mark.usefixtures("a_row_that_is_refused")
def test_every_query_of_the_chart_returns_series_beside_working_workers(
    shop: Cluster, prometheus: Prometheus, manifests: list[dict[str, Any]]
) -> None:
    asked = expressions(manifests)
    assert {expression.source for expression in asked} == {"alert", "panel", "variable"}

    def none_silent() -> bool:
        # Rates need samples that move between two scrapes, so orders keep coming while we ask.
        traffic.place_by_command(shop, 5)
        return not silent(prometheus, asked)

    try:
        wait_for(shop, "series for every query", none_silent, seconds=180)
    except RigTimeoutError:
        pytest.fail(f"no series for {silent(prometheus, asked)}\n{prometheus.state()}")


def test_workers_carry_the_name_of_their_resource_and_the_operator_that_of_its_own(
    shop: Cluster, prometheus: Prometheus
) -> None:
    def owners() -> set[tuple[str, str]] | None:
        found = [series["metric"] for series in prometheus.query("outbox_worker_info")]
        return {(labels.get("publisher", ""), labels.get("subscription", "")) for labels in found} or None

    wanted = {(traffic.PUBLISHER, ""), ("", traffic.SUBSCRIPTION)}
    wait_for(shop, "both workers scraped", lambda: owners() == wanted, seconds=60)
    assert all(series["metric"]["namespace"] == SHOP for series in prometheus.query("outbox_worker_info"))
    wait_for(shop, "operator scraped", lambda: prometheus.query("outbox_operator_build_info"), seconds=60)


def test_no_alert_is_even_pending_while_all_is_well(shop: Cluster, prometheus: Prometheus) -> None:
    traffic.place_by_command(shop, 5)

    def all_inactive() -> bool:
        rules = prometheus.evaluated_rules()
        scraped = prometheus.query("outbox_worker_info") and prometheus.query("outbox_operator_build_info")
        return bool(rules and scraped) and all(rule["state"] == "inactive" for rule in rules)

    try:
        wait_for(shop, "every alert inactive", all_inactive, seconds=60)
    except RigTimeoutError:
        active = [rule for rule in prometheus.evaluated_rules() if rule["state"] != "inactive"]
        pytest.fail(f"{active}\n{prometheus.state()}")


def silent(prometheus: Prometheus, asked: list[Expression]) -> list[str]:
    """Return the expressions that have no series now."""
    return [f"{each.source} {each.name}: {each.signal}" for each in asked if not prometheus.query(each.signal)]


def run_in_orders(shop: Cluster, code: str) -> None:
    """Run Python in the orders service."""
    shop.kubectl("exec", "-n", SHOP, "deploy/orders", "--", "python", "manage.py", "shell", "-c", code)
