"""A real API server for the chart: what renders must also be accepted, and be enough to work with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chart import programs
from tests.chart.rendering import CHART, NAMESPACE
from tests.rig import ApiServer
from tests.rig.binaries import find_go

if TYPE_CHECKING:
    from collections.abc import Iterator

# Its folder of examples holds the CRDs that the Prometheus Operator installs.
_PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_MONITORING_KINDS = ("podmonitors", "prometheusrules")


@dataclass(frozen=True)
class Installed:
    """A cluster without nodes, and Helm to install the chart into it."""

    api: ApiServer

    def helm(self, *arguments: str | Path) -> str:
        """Run Helm and return its output; AssertionError with its words when it fails."""
        done = programs.run(programs.helm(), "--kubeconfig", self.api.kubeconfig, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, values: dict[str, Any] | None = None, release: str = "outbox") -> str:
        """Install or upgrade the chart."""
        image = {"image": {"repository": "localhost/outbox-operator", "tag": "dev"}}
        text = json.dumps({**image, **(values or {})})
        command = ("upgrade", "--install", release, CHART, "--namespace", NAMESPACE, "--values", "-")
        done = programs.run(programs.helm(), "--kubeconfig", self.api.kubeconfig, *command, text=text)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def get(self, *what: str) -> list[dict[str, Any]]:
        """Return objects, as ``kubectl get`` with these arguments gives them."""
        answer = json.loads(self.api.kubectl("get", *what, "-o", "json"))
        found: list[dict[str, Any]] = answer.get("items", [answer])
        return found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Installed]:
    """Return an API server whose namespace for the operator enforces the restricted pod security standard."""
    programs.helm()
    with ApiServer() as api:
        for name in (NAMESPACE, "shop"):
            api.kubectl("create", "namespace", name)
            api.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
        yield Installed(api)


@pytest.fixture
def monitoring(cluster: Installed, tmp_path: Path) -> Installed:
    """Return the same with the Prometheus Operator's CRDs for what the chart creates of its kinds."""
    command: list[str | Path] = [find_go(), "-C", tmp_path, "mod", "download", "-json", _PROMETHEUS_OPERATOR]
    done = programs.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    for kind in _MONITORING_KINDS:
        path = folder / f"monitoring.coreos.com_{kind}.yaml"
        cluster.api.kubectl("apply", "--server-side", "-f", str(path))
    cluster.api.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    return cluster
