"""The chart on a real API server: installed, upgraded, uninstalled, installed again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.chart.rendering import NAMESPACE, OBSERVED, render
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from tests.chart.conftest import Installed

CRDS = {"publishers.djangooutbox.io", "subscriptions.djangooutbox.io"}


def _crds(cluster: Installed) -> set[str]:
    return {crd["metadata"]["name"] for crd in cluster.get("crd") if crd["spec"]["group"] == "djangooutbox.io"}


def test_uninstalling_keeps_crds_and_resources_and_installing_again_takes_them_over(cluster: Installed) -> None:
    cluster.install()
    publisher = {
        "apiVersion": "djangooutbox.io/v1alpha1",
        "kind": "Publisher",
        "metadata": {"name": "kept", "namespace": "shop"},
        "spec": {"image": "localhost/shop:dev"},
    }
    cluster.api.kubectl("apply", "-f", "-", input=json.dumps(publisher))
    cluster.helm("uninstall", "outbox", "--namespace", NAMESPACE)
    assert _crds(cluster) == CRDS
    assert [item["metadata"]["name"] for item in cluster.get("publishers.djangooutbox.io", "-n", "shop")] == ["kept"]
    left = cluster.get("all,sa,role,clusterrole,rolebinding", "-A", "-l", "app.kubernetes.io/instance=outbox")
    assert left == []
    cluster.install()
    assert _crds(cluster) == CRDS
    cluster.api.kubectl("delete", "publishers.djangooutbox.io", "kept", "-n", "shop")


def test_told_not_to_keep_them_uninstalling_removes_the_crds(cluster: Installed) -> None:
    cluster.install({"crds": {"keep": False}})
    cluster.helm("uninstall", "outbox", "--namespace", NAMESPACE)
    # The API server removes the resources of a kind before the kind itself.
    wait_until("the CRDs are gone", lambda: not _crds(cluster), seconds=30, state=lambda: str(_crds(cluster)))


def test_the_operators_pod_is_admitted_under_restricted_pod_security(cluster: Installed) -> None:
    cluster.install()
    deployment = cluster.get("deployment", "outbox-operator", "-n", NAMESPACE)[0]
    template = deployment["spec"]["template"]
    metadata = {**template["metadata"], "name": "admitted", "namespace": NAMESPACE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    assert "created" in cluster.api.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(pod))


def test_an_upgrade_may_switch_everything_on_and_off_again(monitoring: Installed) -> None:
    monitoring.install()
    extras = {
        **OBSERVED,
        "replicaCount": 2,
        "networkPolicy": {"enabled": True},
        "podDisruptionBudget": {"enabled": True},
    }
    monitoring.install(extras)
    kinds = "podmonitor,prometheusrule,configmap,networkpolicy,poddisruptionbudget"
    selector = ("-n", NAMESPACE, "-l", "app.kubernetes.io/instance=outbox")
    assert len(monitoring.get(kinds, *selector)) == 6
    monitoring.install()
    assert monitoring.get(kinds, *selector) == []


def test_the_api_server_knows_every_field_of_every_object(monitoring: Installed) -> None:
    extras = {**OBSERVED, "networkPolicy": {"enabled": True}, "podDisruptionBudget": {"enabled": True}}
    manifests = render(extras)
    monitoring.install()
    objects = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
    answer = monitoring.api.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", input=objects)
    assert len(answer.splitlines()) == len(manifests)


def test_the_notes_say_how_to_go_on(cluster: Installed) -> None:
    notes = cluster.install()
    assert "rollout status deployment/outbox-operator" in notes
    assert "kubectl get obpub,obsub -A" in notes
    assert "Not enabled: podMonitor" in notes
