"""`outbox-operator doctor` on a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.cluster.operator_process import REPOSITORY, OperatorProcess

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cluster.operator_process import Cluster


def doctor(kubeconfig: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Run the doctor; return its exit code and output."""
    settings = {f"OUTBOX_OPERATOR_{name.upper()}": value for name, value in env.items()}
    done = subprocess.run(
        [sys.executable, "-m", "outbox_operator", "doctor", *arguments],
        env={**os.environ, "KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator"), **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def verdicts(text: str) -> dict[str, str]:
    return {finding["check"]: finding["verdict"] for finding in json.loads(text)["findings"]}


@pytest.fixture
def stranger(own: Cluster, tmp_path: Path) -> Path:
    """A kubeconfig of a ServiceAccount without any right."""
    own.kubectl("create", "serviceaccount", "stranger")
    config = yaml.safe_load(own.server.kubeconfig.read_text())
    token = own.kubectl("create", "token", "stranger").strip()
    config["users"] = [{**user, "user": {"token": token}} for user in config["users"]]
    path = tmp_path / "stranger"
    path.write_text(yaml.safe_dump(config))
    return path


def test_where_an_operator_works_everything_is_well(own: Cluster, tmp_path: Path) -> None:
    place = {"namespace": own.namespace, "watch_namespaces": own.namespace}
    with OperatorProcess(own, tmp_path, own.namespace):
        code, output = doctor(own.server.kubeconfig, "--json", **place)
    assert code == 0, output
    found = verdicts(output)
    assert found == {
        "API server": "ok",
        "clock": "ok",
        f"rights in namespace {own.namespace}": "ok",
        "rights on the Lease": "ok",
        "CRD publishers.djangooutbox.io": "ok",
        "CRD subscriptions.djangooutbox.io": "ok",
        "KEDA": "info",
        "Prometheus Operator": "info",
        "Lease": "ok",
    }, output


def test_missing_rights_are_named(own: Cluster, stranger: Path) -> None:
    code, output = doctor(stranger, namespace=own.namespace, watch_namespaces=own.namespace)
    assert code == 1
    assert f"FAILURE  rights in namespace {own.namespace}" in output
    assert "patch deployments.apps" in output
    assert "Without them the operator cannot" in output


def test_rights_in_one_namespace_do_not_suffice_for_the_whole_cluster(own: Cluster, stranger: Path) -> None:
    own.kubectl("create", "role", "reader", "--verb=list,watch", "--resource=pods")
    own.kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={own.namespace}:stranger")
    narrow = json.loads(doctor(stranger, "--json", namespace=own.namespace, watch_namespaces=own.namespace)[1])
    wide = json.loads(doctor(stranger, "--json", namespace=own.namespace)[1])
    assert "list pods" not in rights(narrow)
    assert "list pods" in rights(wide)


def rights(report: dict[str, Any]) -> str:
    return next(item["detail"] for item in report["findings"] if item["check"].startswith("rights in"))


def test_crds_that_are_absent_or_of_another_version_are_told(bare_cluster: Cluster) -> None:
    kubeconfig = bare_cluster.server.kubeconfig
    code, output = doctor(kubeconfig, "--json")
    assert (code, verdicts(output)["CRD publishers.djangooutbox.io"]) == (1, "failure")
    crd = yaml.safe_load((REPOSITORY / "crds" / "publishers.yaml").read_text())
    del crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["batchSize"]
    bare_cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(crd))
    bare_cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    _, output = doctor(kubeconfig, "--json")
    found = next(item for item in json.loads(output)["findings"] if item["check"] == "CRD publishers.djangooutbox.io")
    assert found["verdict"] == "warning"
    assert "spec.batchSize is missing" in found["detail"]


def test_an_api_server_that_cannot_be_reached_is_a_failure_and_no_traceback(tmp_path: Path) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {}}],
    }
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    code, output = doctor(path)
    assert code == 1
    assert "FAILURE  API server  GET /version: no answer" in output
