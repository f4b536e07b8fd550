"""What the operator asks of the API server, counted: for a new resource, for many at once, at rest, after a restart."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import load_kube_config
from prometheus_client.parser import text_string_to_metric_families

from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import SUBSCRIPTION
from outbox_operator.apply import begin
from outbox_operator.kube import Api
from outbox_operator.plan import Observed, plan
from tests.cluster.manifests import secret, subscription, web
from tests.cluster.operator_process import Cluster, OperatorProcess
from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITES = {"POST", "PATCH", "PUT", "DELETE"}
READY = ("Ready", "True", "WorkersAvailable")


@pytest.fixture
def operator(own: Cluster, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator that looks at everything once an hour: what it does was asked for by the watches."""
    with OperatorProcess(own, tmp_path, own.namespace, resync_seconds="3600") as process:
        wait_listed(process)
        yield process


def wait_listed(operator: OperatorProcess) -> None:
    """Wait until everything has been listed: each kind once, and once more all Deployments without their content."""
    wait_until(
        "everything has been listed",
        lambda: requests(operator)["GET deployments"] >= 2,
        seconds=30,
        state=lambda: tail(operator.log),
    )


def requests(operator: OperatorProcess) -> Counter[str]:
    """Return how often each verb was used on each resource type."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(operator.http("/metrics")):
        for sample in family.samples:
            if sample.name == "outbox_operator_api_requests_total":
                found[f"{sample.labels['verb']} {sample.labels['resource']}"] += int(sample.value)
    return found


def looks_again(operator: OperatorProcess) -> float:
    """Return how often a resource was looked at that was not settled: some of these looks read everything anew."""
    return operator.metric("outbox_operator_reconciles_total", result="requeue")


def writes(found: Counter[str]) -> Counter[str]:
    return Counter({name: number for name, number in found.items() if name.split()[0] in WRITES})


def applied(own: Cluster, *names: str) -> None:
    """Apply Subscriptions that share a Secret."""
    wanted = [subscription(name, queue=name, replicas=2, envFrom=[{"secretRef": {"name": "env"}}]) for name in names]
    own.apply(secret("env", TOKEN="a"), *wanted)


def made_ready(own: Cluster, *names: str) -> None:
    for name in names:
        own.make_ready(f"djangooutbox.io/subscription={name}", 2)
        own.wait_condition("obsub", name, *READY)


def test_a_new_subscription_costs_few_requests_until_its_workers_are_available(
    own: Cluster, operator: OperatorProcess
) -> None:
    before = requests(operator)
    applied(own, "orders")
    made_ready(own, "orders")
    own.wait_event("orders", "WorkersAvailable")
    spent = requests(operator) - before
    assert spent["PATCH deployments"] == 1
    assert spent["PATCH poddisruptionbudgets"] == 1
    assert spent["GET secrets"] <= 2 + looks_again(operator)
    assert spent["GET deployments"] <= looks_again(operator), spent
    # Created twice, available once.
    assert spent["POST events"] == 3, own.events("orders")
    # One for each count that the Deployment controller reports, at most: 0, 1, 2 pods, 1 and 2 of them available.
    assert spent["PATCH subscriptions"] <= 6, spent


def test_subscriptions_at_rest_cost_nothing(own: Cluster, operator: OperatorProcess) -> None:
    applied(own, "orders", "invoices")
    made_ready(own, "orders", "invoices")
    for name in ("orders", "invoices"):
        own.wait_event(name, "WorkersAvailable")
    before = requests(operator)
    # Somebody who changes what concerns nobody: the events of it pass by.
    for number in range(5):
        own.kubectl("label", "deployment", "orders-sub", f"seen={number}", "--overwrite")
    applied(own, "third")
    made_ready(own, "third")
    spent = requests(operator) - before
    assert writes(spent)["PATCH deployments"] == 1, "that of the third"
    assert spent["GET deployments"] <= looks_again(operator), spent


def test_many_subscriptions_that_are_there_at_the_start_cost_no_more_each_and_read_what_they_share_once(
    own: Cluster, tmp_path: Path
) -> None:
    names = [f"s{number}" for number in range(20)]
    applied(own, *names)
    alone = {"leader_election": "false", "resync_seconds": "3600"}
    with OperatorProcess(own, tmp_path, own.namespace, **alone) as operator:
        made_ready(own, *names)
        spent, looks = requests(operator), looks_again(operator)
    assert spent["PATCH deployments"] == spent["PATCH poddisruptionbudgets"] == len(names)
    assert spent["GET secrets"] < len(names) + looks
    assert spent["GET deployments"] <= 2 + looks, "the lists at the start"
    assert spent["PATCH subscriptions"] <= 6 * len(names)


def test_a_restart_with_everything_in_place_writes_nothing(own: Cluster, operator: OperatorProcess) -> None:
    names = [f"s{number}" for number in range(5)]
    applied(own, *names)
    made_ready(own, *names)
    assert operator.stop() == 0
    operator.start()
    wait_until(
        "every resource has been looked at",
        lambda: operator.metric("outbox_operator_reconciles_total") >= len(names),
        seconds=30,
        state=lambda: tail(operator.log),
    )
    spent = requests(operator)
    assert writes(spent).total() == 0, spent
    # The full lists at the start, and nothing one by one.
    assert spent["GET deployments"] == 2
    assert spent["GET subscriptions"] == spent["GET poddisruptionbudgets"] == 1
    assert spent["GET secrets"] <= 2


def test_making_a_deployment_blindly_takes_over_nothing_of_somebody_else(own: Cluster) -> None:
    obj = subscription("orders")
    obj["metadata"] |= {"namespace": own.namespace, "uid": "00000000-0000-4000-8000-000000000000", "generation": 1}
    own.apply(web("orders-sub"))
    before = own.must_get("deployment", "orders-sub")["metadata"]["generation"]

    async def make() -> object:
        configuration = Configuration()
        await load_kube_config(str(own.server.kubeconfig), client_configuration=configuration)
        api = Api(ApiClient(configuration))
        try:
            return await begin(api, plan(parse(SUBSCRIPTION, obj), Observed()))
        finally:
            await api.close()

    assert asyncio.run(make()) is None
    found = own.must_get("deployment", "orders-sub")["metadata"]
    assert (found["generation"], "ownerReferences" in found) == (before, False)
