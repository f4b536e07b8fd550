"""`helm test` runs the doctor as the operator itself would run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from outbox_operator.doctor.cluster import MINIMUM_VERSION
from tests.chart.rendering import CHART, NAMESPACE, one, render

if TYPE_CHECKING:
    from tests.chart.conftest import Installed


def _pod(values: dict[str, Any] | None = None) -> dict[str, Any]:
    return one(render(values), "Pod")


def test_the_doctor_is_a_test_of_the_release_with_the_operators_settings_and_rights() -> None:
    values = {"watchNamespaces": ["shop"], "extraEnv": [{"name": "TZ", "value": "UTC"}]}
    pod, operator = _pod(values), one(render(values), "Deployment")["spec"]["template"]["spec"]
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    assert pod["spec"]["serviceAccountName"] == operator["serviceAccountName"]
    (container,), (running,) = pod["spec"]["containers"], operator["containers"]
    assert container["args"] == ["doctor"]
    assert (container["image"], container["env"]) == (running["image"], running["env"])


def test_the_doctors_pod_is_none_of_the_operators() -> None:
    selector = one(render(), "Deployment")["spec"]["selector"]["matchLabels"]
    assert not selector.items() <= _pod()["metadata"]["labels"].items()


def test_the_doctors_pod_is_admitted_under_restricted_pod_security(cluster: Installed) -> None:
    cluster.install()
    pod = json.dumps({**_pod(), "metadata": {**_pod()["metadata"], "namespace": NAMESPACE}})
    assert "created" in cluster.api.kubectl("create", "--dry-run=server", "-f", "-", input=pod)


def test_the_doctor_asks_for_the_kubernetes_version_that_the_chart_asks_for() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={'.'.join(map(str, MINIMUM_VERSION))}.0-0"
