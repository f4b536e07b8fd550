"""What the chart takes as values and what it refuses, with which words."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.chart import programs
from tests.chart.rendering import CHART, IMAGE, OBSERVED, of_kind, one, refusal, render

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING: dict[str, Any] = {
    **OBSERVED,
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}], "egress": [{}]},
    "podDisruptionBudget": {"enabled": True, "maxUnavailable": "50%"},
    "replicaCount": 2,
    "imagePullSecrets": [{"name": "regcred"}],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}],
    "priorityClassName": "high",
    "commonLabels": {"team": "platform"},
    "podLabels": {"tier": "ops"},
    "podAnnotations": {"note": "x"},
    "deploymentAnnotations": {"note": "x"},
    "serviceAccount": {"annotations": {"note": "x"}},
    "crds": {"keep": False},
}


def test_helm_lint_is_strictly_content_with_the_chart() -> None:
    done = programs.run(programs.helm(), "lint", "--strict", CHART, "--set", "image.repository=example.com/operator")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "values",
    [{}, EVERYTHING, {"watchNamespaces": ["shop", "billing"], "crds": {"enabled": False}}, {"rbac": {"create": False}}],
    ids=["defaults", "everything", "namespaced", "own rights"],
)
def test_every_object_rendered_has_a_kind_a_valid_name_and_our_labels(values: dict[str, Any]) -> None:
    for manifest in render(values):
        assert manifest["apiVersion"]
        assert manifest["metadata"]["name"].startswith(("outbox-operator", "publishers.", "subscriptions."))
        labels = manifest["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/instance"] == "outbox"


def test_what_pods_are_given_reaches_the_pods() -> None:
    pod = one(render(EVERYTHING), "Deployment")["spec"]["template"]
    assert pod["metadata"]["labels"] | {"team": "platform", "tier": "ops"} == pod["metadata"]["labels"]
    assert pod["metadata"]["annotations"] == {"note": "x"}
    for field in ("imagePullSecrets", "nodeSelector", "tolerations", "affinity", "priorityClassName"):
        assert pod["spec"][field] == EVERYTHING[field]
    assert EVERYTHING["extraEnv"][0] in pod["spec"]["containers"][0]["env"]


def test_labels_of_users_never_replace_those_the_selector_needs() -> None:
    own = {"app.kubernetes.io/name": "mine", "app.kubernetes.io/instance": "mine"}
    deployment = one(render({"commonLabels": own, "podLabels": own}), "Deployment")
    wanted = deployment["spec"]["selector"]["matchLabels"]
    assert wanted == {"app.kubernetes.io/name": "outbox-operator", "app.kubernetes.io/instance": "outbox"}
    assert wanted.items() <= deployment["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicaCount": "two"}, "at '/replicaCount': got string, want integer"),
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"podMonitor": {"enabld": True}}, "at '/podMonitor': additional properties 'enabld' not allowed"),
        ({"log": {"level": "loud"}}, "at '/log/level': value must be one of 'debug', 'info', 'warning', 'error'"),
        ({"watchNamespaces": ["Shop"]}, "at '/watchNamespaces/0': 'Shop' does not match pattern"),
        ({"watchNamespaces": "shop"}, "at '/watchNamespaces': got string, want array"),
        ({"podMonitor": {"interval": "30"}}, "at '/podMonitor/interval': '30' does not match pattern"),
        ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
        (
            {"prometheusRule": {"alerts": {"OutboxMessagesFailed": {"threshold": -1}}}},
            "at '/prometheusRule/alerts/OutboxMessagesFailed/threshold': minimum: got -1, want 0",
        ),
        (
            {"prometheusRule": {"alerts": {"OutboxOnFire": {"enabled": True}}}},
            "at '/prometheusRule/alerts': additional properties 'OutboxOnFire' not allowed",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_path_and_what_is_wrong(values: dict[str, Any], words: str) -> None:
    assert words in refusal({**values, "image": {**IMAGE["image"], **values.get("image", {})}})


def test_a_missing_image_is_refused_with_what_to_do() -> None:
    assert "image.repository is not set: build the operator's image with operator/Dockerfile" in refusal({})


def test_two_operators_without_a_lease_are_refused() -> None:
    words = refusal({**IMAGE, "replicaCount": 2, "leaderElection": {"enabled": False}})
    assert "replicaCount is above 1 while leaderElection.enabled is false" in words


def test_the_schema_names_exactly_the_values_there_are() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert _paths(schema) - _value_paths(values) == {"enabled", "resources.claims"}
    assert _value_paths(values) - _paths(schema) == set()


def test_as_a_dependency_it_takes_globals_and_its_own_condition(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    shutil.copytree(CHART, parent / "charts" / "outbox-operator")
    dependency = {"name": "outbox-operator", "version": "0.1.0", "condition": "outbox-operator.enabled"}
    about = {"apiVersion": "v2", "name": "parent", "version": "1.0.0", "dependencies": [dependency]}
    (parent / "Chart.yaml").write_text(yaml.safe_dump(about))
    values = {"global": {"imageRegistry": "registry.example.com"}, "outbox-operator": {"enabled": True, **IMAGE}}
    assert of_kind(render(values, parent), "Deployment")
    assert render({"outbox-operator": {"enabled": False}}, parent) == []


def test_the_names_do_not_repeat_a_release_that_is_called_like_the_chart() -> None:
    names = {"outbox": "outbox-operator", "outbox-operator": "outbox-operator", "prod": "prod-outbox-operator"}
    for release, name in names.items():
        assert one(render(release=release), "Deployment")["metadata"]["name"] == name


def _paths(schema: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the dotted paths of the schema's leaves: what has no properties of its own."""
    found: set[str] = set()
    for name, part in schema["properties"].items():
        found |= _paths(part, f"{prefix}{name}.") if "properties" in part else {prefix + name}
    return found


def _value_paths(values: dict[str, Any], prefix: str = "") -> set[str]:
    """Return the dotted paths of the defaults, down to what the schema leaves open."""
    whole = {"podSecurityContext", "securityContext", "resources.requests", "resources.limits", "dashboards.labels"}
    found: set[str] = set()
    for name, value in values.items():
        path = prefix + name
        found |= _value_paths(value, f"{path}.") if isinstance(value, dict) and value and path not in whole else {path}
    return found
