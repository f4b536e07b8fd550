"""`outbox-operator plan` against a cluster: what would change, who would be replaced; and nothing is written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import yaml

from tests.cluster.manifests import publisher, secret, subscription
from tests.cluster.operator_process import REPOSITORY, OperatorProcess
from tests.cluster.predicates import exists

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.operator_process import Cluster


def plan(
    cluster: Cluster, *options: str, manifests: tuple[dict[str, Any], ...] = (), kubeconfig: Path | None = None
) -> tuple[int, str]:
    files = ("-f", "-", "--cluster") if manifests else ()
    done = subprocess.run(
        [sys.executable, "-m", "outbox_operator", "plan", *files, "-n", cluster.namespace, *options],
        env={
            **os.environ,
            "KUBECONFIG": str(kubeconfig or cluster.server.kubeconfig),
            "PYTHONPATH": str(REPOSITORY / "operator"),
        },
        input=yaml.safe_dump_all(manifests),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_plan_tells_which_workers_would_be_replaced_and_why_and_writes_nothing(served: Cluster, name: str) -> None:
    served.apply(publisher(name))
    served.make_ready(f"djangooutbox.io/publisher={name}", 1)
    served.wait_condition("obpub", name, "Ready", "True", "WorkersAvailable")
    names = (("obpub", name), ("deployment", f"{name}-pub"))
    before = [served.must_get(*item)["metadata"]["resourceVersion"] for item in names]
    assert plan(served, manifests=(publisher(name),))[0] == 0
    code, output = plan(served, manifests=(publisher(name, minReadySeconds=5),))
    assert (code, "change  Deployment" in output) == (3, True), output
    code, output = plan(served, manifests=(publisher(name, image="shop:2"),))
    assert code == 4, output
    assert "running workers are replaced: image changed from shop:1 to shop:2" in output
    code, output = plan(served, manifests=(publisher(name, replicas=2),))
    assert (code, f"create  PodDisruptionBudget {name}-pub" in output) == (3, True), output
    assert [served.must_get(*item)["metadata"]["resourceVersion"] for item in names] == before
    assert served.get("poddisruptionbudget", f"{name}-pub") is None


def test_a_plan_for_a_resource_that_is_not_there_creates_nothing(served: Cluster, name: str) -> None:
    code, output = plan(served, manifests=(subscription(name, queue=name),))
    assert (code, f"create  Deployment {name}-sub" in output) == (3, True), output
    assert served.get("obsub", name) is None
    assert served.get("deployment", f"{name}-sub") is None


def test_what_the_api_server_would_refuse_is_told_in_its_words(served: Cluster, name: str) -> None:
    served.apply(subscription(name, queue=name))
    served.wait("deployment", f"{name}-sub", "exists", exists)
    code, output = plan(served, manifests=(subscription(name, queue="other"),))
    assert code == 5
    assert "queue is immutable" in output
    code, output = plan(served, manifests=(publisher(name, envFrom=[{"secretRef": {"name": f"{name}-none"}}]),))
    assert code == 5
    assert "SecretNotFound" in output


def test_a_cluster_without_resources_has_nothing_to_plan(own: Cluster) -> None:
    code, output = plan(own, "--all", "-o", "json")
    assert (code, json.loads(output)["resources"]) == (0, [])


def test_before_an_upgrade_a_plan_of_all_names_the_workers_that_would_be_replaced(
    own: Cluster, name: str, tmp_path: Path
) -> None:
    with OperatorProcess(own, tmp_path, own.namespace):
        own.apply(publisher("orders"), publisher("steady"))
        for orders in ("orders", "steady"):
            own.make_ready(f"djangooutbox.io/publisher={orders}", 1)
            own.wait_condition("obpub", orders, "Ready", "True", "WorkersAvailable")
    assert plan(own, "--all")[0] == 0
    # As an operator of another version would have left it.
    own.kubectl("set", "image", "deployment/orders-pub", "worker=older:1")
    code, output = plan(own, "--all", "-o", "json")
    rolls = {item["subject"]: item["roll"] for item in json.loads(output)["resources"]}
    assert code == 4
    assert rolls[f"Publisher {own.namespace}/steady"] is None
    assert "image changed from older:1 to shop:1" in rolls[f"Publisher {own.namespace}/orders"]


def test_a_plan_that_lets_go_of_the_number_of_workers_keeps_the_number(own: Cluster, tmp_path: Path) -> None:
    with OperatorProcess(own, tmp_path, own.namespace):
        own.apply(publisher("orders", replicas=4))
        own.wait("deployment", "orders-pub", "exists", exists)
        own.wait("obpub", "orders", "a status", lambda found: found.get("status"))
    own.patch("obpub", "orders", {"spec": {"replicas": None}})
    code, output = plan(own, "--all")
    assert code == 3, output
    assert "replicas" not in output
    assert own.must_get("deployment", "orders-pub")["spec"]["replicas"] == 4


def allow(cluster: Cluster, user: str, **resources: str) -> Path:
    """Let a user do everything with some resources of a namespace, by API group, and return the kubeconfig."""
    for group, names in resources.items():
        given = [f"{name}.{group.replace('_', '.')}" for name in names.split()]
        cluster.kubectl("create", "role", f"{user}-{group}", "--verb=*", f"--resource={','.join(given)}")
        cluster.kubectl("create", "rolebinding", f"{user}-{group}", f"--role={user}-{group}", f"--user={user}")
    return cluster.server.identity(user)


def test_whoever_may_not_read_secrets_gets_a_plan_that_takes_them_as_unchanged_and_says_so(
    own: Cluster, tmp_path: Path
) -> None:
    token = [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "orders-env", "key": "TOKEN"}}}]
    with OperatorProcess(own, tmp_path, own.namespace):
        own.apply(secret("orders-env", TOKEN="1"), publisher("orders", env=token))
        own.make_ready("djangooutbox.io/publisher=orders", 1)
        own.wait_condition("obpub", "orders", "Ready", "True", "WorkersAvailable")
    ours = {"djangooutbox_io": "publishers subscriptions", "apps": "deployments", "policy": "poddisruptionbudgets"}
    planner = allow(own, f"planner-{own.namespace}", **ours)
    code, output = plan(own, manifests=(publisher("orders", env=token),), kubeconfig=planner)
    assert code == 0, output
    assert "WARNING Secret/orders-env counts as unchanged" in output
    assert f'cannot get resource "secrets" in API group "" in the namespace "{own.namespace}"' in output
    code, output = plan(own, manifests=(publisher("orders", env=token, image="shop:2"),), kubeconfig=planner)
    assert (code, "image changed from shop:1 to shop:2" in output) == (4, True), output


def test_a_right_that_is_missing_is_told_and_the_other_resources_are_planned(own: Cluster) -> None:
    ours = {"djangooutbox_io": "publishers", "apps": "deployments", "policy": "poddisruptionbudgets"}
    planner = allow(own, f"planner-{own.namespace}", **ours)
    own.kubectl("create", "role", "reader", "--verb=list", "--resource=subscriptions.djangooutbox.io")
    own.kubectl("create", "rolebinding", "reader", "--role=reader", f"--user=planner-{own.namespace}")
    code, output = plan(own, manifests=(subscription("billing"), publisher("orders")), kubeconfig=planner)
    assert code == 1, output
    assert 'cannot get resource "subscriptions" in API group "djangooutbox.io"' in output
    assert "create  Deployment orders-pub" in output
