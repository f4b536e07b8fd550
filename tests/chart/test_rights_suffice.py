"""The real operator as the ServiceAccount that the chart made: its rights suffice for all it does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.chart.rendering import NAMESPACE, ROOT
from tests.rig.keda import keda_crds
from tests.rig.process import free_port
from tests.rig.waiting import tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.chart.conftest import Installed

WORKERS = {
    "image": "localhost/shop:dev",
    "envFrom": [{"secretRef": {"name": "orders-env"}}, {"configMapRef": {"name": "orders-config"}}],
}
CONSUMES = {"callback": "billing.callbacks.bill", "destination": "/topic/orders", "queue": "billing"}
RESOURCES = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "orders-env"}, "stringData": {"KEY": "value"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "orders-config"}, "data": {"KEY": "value"}},
        {
            "apiVersion": "djangooutbox.io/v1alpha1",
            "kind": "Publisher",
            "metadata": {"name": "orders"},
            "spec": WORKERS,
        },
        {
            "apiVersion": "djangooutbox.io/v1alpha1",
            "kind": "Subscription",
            "metadata": {"name": "billing"},
            "spec": {**WORKERS, **CONSUMES, "replicas": 2},
        },
    ],
}
# What the operator's own metrics call its requests; watches are not among them.
REQUESTS = {
    ("GET", "publishers"),
    ("PATCH", "publishers"),
    ("GET", "subscriptions"),
    ("PATCH", "subscriptions"),
    ("GET", "deployments"),
    ("PATCH", "deployments"),
    ("GET", "poddisruptionbudgets"),
    ("PATCH", "poddisruptionbudgets"),
    ("DELETE", "poddisruptionbudgets"),
    ("GET", "scaledobjects"),
    ("PATCH", "scaledobjects"),
    ("DELETE", "scaledobjects"),
    ("GET", "triggerauthentications"),
    ("PATCH", "triggerauthentications"),
    ("DELETE", "triggerauthentications"),
    ("GET", "pods"),
    ("GET", "secrets"),
    ("GET", "configmaps"),
    ("POST", "events"),
}
KEDA_KINDS = "scaledobjects,triggerauthentications"
AUTOSCALING = {
    "maxReplicas": 3,
    "source": {"type": "PostgreSQL", "postgreSQL": {"connection": {"secretName": "orders-env", "key": "KEY"}}},
}
SECONDS = 60


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def requests(self) -> set[tuple[str, str, str]]:
        """Return verb, resource and status code of every kind of request that it made so far."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
        counted = [sample.labels for sample in samples if sample.name == "outbox_operator_api_requests_total"]
        return {(labels["verb"], labels["resource"], labels["code"]) for labels in counted}


@contextmanager
def running(cluster: Installed, folder: Path) -> Iterator[Operator]:
    """Run the operator as the chart's Deployment says, as its ServiceAccount, outside of the cluster."""
    port, log = free_port(), folder / "operator.log"
    environment = {**os.environ, **_environment(cluster), "OUTBOX_OPERATOR_PORT": str(port)}
    environment |= {"KUBECONFIG": str(_kubeconfig(cluster, folder)), "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}
    environment["OUTBOX_OPERATOR_RESYNC_SECONDS"] = "5"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "outbox_operator", "run"], env=environment, stdout=output, stderr=output
        )
    try:
        yield Operator(process, port, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _environment(cluster: Installed) -> dict[str, str]:
    deployment = cluster.get("deployment", "outbox-operator", "-n", NAMESPACE)[0]
    downward = {"metadata.namespace": NAMESPACE, "metadata.name": "operator-outside"}
    return {
        item["name"]: item.get("value", "")
        if "valueFrom" not in item
        else downward[item["valueFrom"]["fieldRef"]["fieldPath"]]
        for item in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }


def _kubeconfig(cluster: Installed, folder: Path) -> Path:
    token = cluster.api.kubectl("create", "token", "outbox-operator", "-n", NAMESPACE).strip()
    config = yaml.safe_load(cluster.api.kubeconfig.read_text())
    for user in config["users"]:
        user["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("watched", [[], ["shop"]], ids=["the whole cluster", "one namespace"])
def test_the_operator_does_all_its_work_with_the_rights_it_is_given_for(
    cluster: Installed, tmp_path: Path, watched: list[str]
) -> None:
    cluster.install({"watchNamespaces": watched})
    cluster.api.kubectl("apply", "--server-side", "-f", str(keda_crds()))
    cluster.api.kubectl("apply", "-n", "shop", "-f", "-", input=json.dumps(RESOURCES))
    try:
        with running(cluster, tmp_path) as operator:
            _exercise(cluster, operator)
            lease = cluster.get("lease", "outbox-operator", "-n", NAMESPACE)[0]
            made = operator.requests()
        assert lease["spec"]["holderIdentity"] == "operator-outside"
        assert operator.process.returncode == 0, tail(operator.log)
        assert {request for request in made if request[2] in {"401", "403"}} == set()
        assert "orbidden" not in operator.log.read_text()
        assert {(verb, resource) for verb, resource, _ in made if resource != "version"} == REQUESTS
    finally:
        kinds = "publishers.djangooutbox.io,subscriptions.djangooutbox.io,deployments,secrets,configmaps,events"
        cluster.api.kubectl("delete", kinds, "--all", "-n", "shop")


def _exercise(cluster: Installed, operator: Operator) -> None:
    """Have the operator create, tell, put back, and remove."""
    _await(operator, "the Deployments of the workers", lambda: _deployments(cluster) == {"orders-pub", "billing-sub"})
    _await(operator, "conditions in the status", lambda: _all_have_conditions(cluster))
    _await(operator, "an Event", lambda: cluster.get("events", "-n", "shop"))
    _start_in_vain(cluster, "billing-sub")
    _await(operator, "a look at its pods", lambda: ("GET", "pods", "200") in operator.requests())
    cluster.api.kubectl("delete", "deployment", "orders-pub", "-n", "shop")
    _await(operator, "the Deployment again", lambda: "orders-pub" in _deployments(cluster))
    _await(operator, "a PodDisruptionBudget", lambda: cluster.get("poddisruptionbudgets", "-n", "shop"))
    cluster.api.kubectl("scale", "obsub", "billing", "-n", "shop", "--replicas=1")
    _await(operator, "its removal", lambda: not cluster.get("poddisruptionbudgets", "-n", "shop"))
    _patch_publisher(cluster, AUTOSCALING)
    _await(operator, "KEDA's objects", lambda: len(cluster.get(KEDA_KINDS, "-n", "shop")) == 2)
    _patch_publisher(cluster, None)
    _await(operator, "their removal", lambda: not cluster.get(KEDA_KINDS, "-n", "shop"))


def _start_in_vain(cluster: Installed, deployment: str) -> None:
    """Say what the Deployment controller, which does not run here, says of pods that do not become ready."""
    status = {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "unavailableReplicas": 1}
    patch = ("--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
    cluster.api.kubectl("patch", "deployment", deployment, "-n", "shop", *patch)


def _patch_publisher(cluster: Installed, autoscaling: dict[str, Any] | None) -> None:
    patch = json.dumps({"spec": {"autoscaling": autoscaling}})
    cluster.api.kubectl("patch", "obpub", "orders", "-n", "shop", "--type=merge", "-p", patch)


def test_without_the_rights_the_log_says_which_one_is_missing(cluster: Installed, tmp_path: Path) -> None:
    cluster.install({"rbac": {"create": False}, "leaderElection": {"enabled": False}})
    with running(cluster, tmp_path) as operator:
        _await(operator, "a complaint", lambda: "is forbidden" in operator.log.read_text())
    assert 'User "system:serviceaccount:outbox-system:outbox-operator" cannot' in operator.log.read_text().replace(
        '\\"', '"'
    )


def _await(operator: Operator, what: str, condition: Any) -> None:
    def alive_and_so() -> Any:
        assert operator.process.poll() is None, f"the operator has ended:\n{tail(operator.log)}"
        return condition()

    wait_until(what, alive_and_so, seconds=SECONDS, state=lambda: tail(operator.log))


def _deployments(cluster: Installed) -> set[str]:
    return {item["metadata"]["name"] for item in cluster.get("deployments", "-n", "shop")}


def _all_have_conditions(cluster: Installed) -> bool:
    found = cluster.get("publishers.djangooutbox.io,subscriptions.djangooutbox.io", "-n", "shop")
    return len(found) == 2 and all(item.get("status", {}).get("conditions") for item in found)
