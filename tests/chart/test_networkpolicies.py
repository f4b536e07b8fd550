"""The NetworkPolicies of the workers; that of the operator is in test_operator_deployment."""

from __future__ import annotations

from typing import Any

from outbox_operator.api.resource import PUBLISHER, Key
from outbox_operator.build.labels import object_labels
from tests.chart.rendering import IMAGE, of_kind, refusal, render


def _policies(**workers: Any) -> list[dict[str, Any]]:
    return of_kind(render({"networkPolicy": {"workers": {"enabled": True, **workers}}}), "NetworkPolicy")


def test_each_namespace_with_workers_gets_a_policy_of_its_own() -> None:
    found = _policies(namespaces=["shop", "billing"])
    assert [policy["metadata"]["namespace"] for policy in found] == ["shop", "billing"]
    watched = render({"watchNamespaces": ["shop"], "networkPolicy": {"workers": {"enabled": True}}})
    assert [policy["metadata"]["namespace"] for policy in of_kind(watched, "NetworkPolicy")] == ["shop"]


def test_it_selects_the_workers_and_leaves_their_metrics_port_open() -> None:
    (policy,) = _policies(namespaces=["shop"])
    selected = policy["spec"]["podSelector"]["matchLabels"]
    assert selected.items() <= object_labels(Key(PUBLISHER, "shop", "orders")).items()
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert policy["spec"]["ingress"] == [{"ports": [{"port": "metrics", "protocol": "TCP"}]}]


def test_what_workers_may_reach_is_limited_only_on_wish() -> None:
    rule = {"to": [{"namespaceSelector": {}}]}
    (policy,) = _policies(namespaces=["shop"], egress=[rule], **{"from": [{"podSelector": {}}]})
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert policy["spec"]["egress"] == [rule]
    assert policy["spec"]["ingress"][0]["from"] == [{"podSelector": {}}]


def test_without_namespaces_helm_says_what_is_missing() -> None:
    said = refusal({**IMAGE, "networkPolicy": {"workers": {"enabled": True}}})
    assert "networkPolicy.workers.namespaces" in said
