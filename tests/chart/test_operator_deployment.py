"""The operator's Deployment: hardened, probed, and given the settings that the operator reads."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from outbox_operator.settings import PREFIX, Settings, load_settings
from tests.chart.rendering import NAMESPACE, of_kind, one, render


def _pod(values: dict[str, Any] | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = one(render(values), "Deployment")["spec"]["template"]["spec"]
    return spec


def _container(values: dict[str, Any] | None = None) -> dict[str, Any]:
    container: dict[str, Any] = _pod(values)["containers"][0]
    return container


def test_the_pod_satisfies_the_restricted_pod_security_standard() -> None:
    pod, container = _pod(), _container()
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {key for volume in pod["volumes"] for key in volume if key != "name"} == {"emptyDir"}


def test_the_root_file_system_is_read_only_and_tmp_is_writable() -> None:
    container = _container()
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_the_probes_ask_the_metrics_port() -> None:
    container = _container()
    assert container["ports"] == [{"name": "metrics", "containerPort": 8080, "protocol": "TCP"}]
    asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert {get["port"] for get in asked.values()} == {"metrics"}
    assert [get["path"] for get in asked.values()] == ["/healthz", "/healthz", "/readyz"]


def test_resources_are_requested_and_memory_is_limited() -> None:
    resources = _container()["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert set(resources["limits"]) == {"memory"}


def test_values_reach_the_operator_as_its_settings() -> None:
    values = {
        "watchNamespaces": ["shop", "billing"],
        "leaderElection": {"enabled": False},
        "resyncSeconds": 30,
        "hostAccess": "Allowed",
        "log": {"level": "debug", "format": "text"},
    }
    container = _container(values)
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert container["args"] == ["run"]
    assert env == {
        "OUTBOX_OPERATOR_NAMESPACE": None,
        "OUTBOX_OPERATOR_POD_NAME": None,
        "OUTBOX_OPERATOR_WATCH_NAMESPACES": "shop,billing",
        "OUTBOX_OPERATOR_HOST_ACCESS": "allowed",
        "OUTBOX_OPERATOR_LEADER_ELECTION": "false",
        "OUTBOX_OPERATOR_LEASE_NAME": "outbox-operator",
        "OUTBOX_OPERATOR_PORT": "8080",
        "OUTBOX_OPERATOR_RESYNC_SECONDS": "30",
        "OUTBOX_OPERATOR_LOG_LEVEL": "debug",
        "OUTBOX_OPERATOR_LOG_FORMAT": "text",
    }


def test_the_operator_reads_every_variable_it_is_given_as_it_was_meant() -> None:
    env = {item["name"]: item.get("value", "x") for item in _container()["env"]}
    settings = load_settings(env)
    read = {name.removeprefix(PREFIX).lower() for name in env}
    assert read <= {field.name for field in fields(Settings)}
    assert (settings.port, settings.resync_seconds, settings.leader_election) == (8080, 60, True)
    assert (settings.watch_namespaces, settings.log_level, settings.log_format) == ((), "INFO", "json")


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, "r.example.com/op:0.1.0"),
        ({"tag": "dev"}, "r.example.com/op:dev"),
        ({"tag": "dev", "digest": f"sha256:{'0' * 64}"}, f"r.example.com/op@sha256:{'0' * 64}"),
    ],
    ids=["the chart's appVersion", "a tag", "a digest"],
)
def test_the_image_is_named_by(image: dict[str, str], expected: str) -> None:
    assert _container({"image": {"repository": "r.example.com/op", **image}})["image"] == expected


@pytest.mark.parametrize(("elects", "strategy"), [(True, "RollingUpdate"), (False, "Recreate")])
def test_without_a_lease_the_old_operator_goes_before_the_new_one_comes(elects: bool, strategy: str) -> None:
    deployment = one(render({"leaderElection": {"enabled": elects}}), "Deployment")
    assert deployment["spec"]["strategy"]["type"] == strategy


def test_only_the_operators_own_pod_mounts_the_token() -> None:
    manifests = render()
    assert one(manifests, "ServiceAccount")["automountServiceAccountToken"] is False
    assert _pod()["automountServiceAccountToken"] is True


def test_extras_are_off_until_asked_for() -> None:
    optional = ("PodMonitor", "PrometheusRule", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget")
    assert of_kind(render(), *optional) == []


def test_the_network_policy_opens_the_metrics_port_to_whom_it_is_told() -> None:
    scrapers = [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}]
    spec = one(render({"networkPolicy": {"enabled": True, "from": scrapers}}), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}], "from": scrapers}]


def test_everything_of_the_operator_lies_in_the_releases_namespace() -> None:
    for manifest in of_kind(render(), "Deployment", "ServiceAccount", "Role", "RoleBinding"):
        assert manifest["metadata"]["namespace"] == NAMESPACE
