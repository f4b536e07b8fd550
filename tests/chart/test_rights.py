"""The rights that the chart grants, to the operator and to people."""

from __future__ import annotations

from typing import Any

from outbox_operator.rights import LEASE_RIGHTS, RIGHTS
from tests.chart.rendering import NAMESPACE, Manifest, of_kind, one, render

NAMESPACED = {"watchNamespaces": ["shop", "billing"]}
# What the operator calls, by resource. A longer list here needs a reason in the operator's code.
NEEDED = {
    "publishers.djangooutbox.io": {"get", "list", "watch"},
    "subscriptions.djangooutbox.io": {"get", "list", "watch"},
    "publishers/status.djangooutbox.io": {"patch"},
    "subscriptions/status.djangooutbox.io": {"patch"},
    "publishers/finalizers.djangooutbox.io": {"update"},
    "subscriptions/finalizers.djangooutbox.io": {"update"},
    "deployments.apps": {"get", "list", "watch", "create", "patch"},
    "poddisruptionbudgets.policy": {"get", "list", "create", "patch", "delete"},
    "scaledobjects.keda.sh": {"get", "create", "patch", "delete"},
    "triggerauthentications.keda.sh": {"get", "create", "patch", "delete"},
    "pods.": {"list"},
    "secrets.": {"get"},
    "configmaps.": {"get"},
    "events.": {"create"},
}


def _granted(role: Manifest) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault(f"{resource}.{group}", set()).update(rule["verbs"])
    return found


def test_the_doctor_asks_for_what_is_granted() -> None:
    asked: dict[str, set[str]] = {}
    for right in RIGHTS:
        asked.setdefault(f"{right.resource}.{right.group}", set()).update(right.verbs)
    assert asked == NEEDED
    on_leases = {verb for right in LEASE_RIGHTS for verb in right.verbs}
    assert on_leases == _granted(_named(render(), "Role", "outbox-operator-leader")[0])["leases.coordination.k8s.io"]


def _named(manifests: list[Manifest], kind: str, name: str) -> list[Manifest]:
    return [item for item in of_kind(manifests, kind) if item["metadata"]["name"] == name]


def test_the_operator_is_granted_what_it_calls_and_nothing_more() -> None:
    assert _granted(_named(render(), "ClusterRole", "outbox-operator")[0]) == NEEDED


def test_no_rule_has_a_wildcard() -> None:
    for role in of_kind([*render(), *render(NAMESPACED)], "Role", "ClusterRole"):
        for rule in role["rules"]:
            assert "*" not in {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}


def test_a_list_of_namespaces_leaves_no_right_for_the_whole_cluster() -> None:
    manifests = render(NAMESPACED)
    assert of_kind(manifests, "ClusterRole", "ClusterRoleBinding") == []
    roles = _named(manifests, "Role", "outbox-operator")
    assert {role["metadata"]["namespace"] for role in roles} == {"shop", "billing"}
    assert all(_granted(role) == NEEDED for role in roles)


def test_with_namespaces_and_without_crds_no_object_lies_outside_of_namespaces() -> None:
    manifests = render({**NAMESPACED, "crds": {"enabled": False}})
    assert all("namespace" in manifest["metadata"] for manifest in manifests)


def test_the_lease_is_granted_in_the_releases_namespace_only() -> None:
    for values in ({}, NAMESPACED):
        roles = of_kind(render(values), "Role", "ClusterRole")
        granting = [role for role in roles if "leases.coordination.k8s.io" in _granted(role)]
        assert [role["metadata"].get("namespace") for role in granting] == [NAMESPACE]


def test_only_the_operators_own_lease_may_be_changed() -> None:
    role = _named(render(), "Role", "outbox-operator-leader")[0]
    lease = {"OUTBOX_OPERATOR_LEASE_NAME": "outbox-operator"}
    pod = one(render(), "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert lease.items() <= {item["name"]: item.get("value") for item in pod["env"]}.items()
    changing = [rule for rule in role["rules"] if "update" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in changing] == [["outbox-operator"]]


def test_without_leader_election_nothing_is_granted_on_leases() -> None:
    roles = of_kind(render({"leaderElection": {"enabled": False}}), "Role", "ClusterRole")
    assert not any("leases.coordination.k8s.io" in _granted(role) for role in roles)


def test_every_binding_is_for_the_operators_service_account_and_a_role_that_is_there() -> None:
    for values in ({}, NAMESPACED, {"serviceAccount": {"name": "mine"}}):
        manifests = render(values)
        account = one(manifests, "ServiceAccount")["metadata"]
        for binding in of_kind(manifests, "RoleBinding", "ClusterRoleBinding"):
            subject = {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
            assert binding["subjects"] == [subject]
            roles = _named(manifests, binding["roleRef"]["kind"], binding["roleRef"]["name"])
            assert binding["metadata"].get("namespace") in {role["metadata"].get("namespace") for role in roles}


def test_those_who_view_a_namespace_see_resources_and_those_who_edit_it_change_them() -> None:
    roles: dict[str, Any] = {role["metadata"]["name"]: role for role in of_kind(render(), "ClusterRole")}
    view, edit = roles["outbox-operator-view"], roles["outbox-operator-edit"]
    aggregate = "rbac.authorization.k8s.io/aggregate-to-"
    assert {label for label in view["metadata"]["labels"] if label.startswith(aggregate)} == {
        f"{aggregate}{role}" for role in ("view", "edit", "admin")
    }
    assert {label for label in edit["metadata"]["labels"] if label.startswith(aggregate)} == {
        f"{aggregate}{role}" for role in ("edit", "admin")
    }
    assert all(verbs <= {"get", "list", "watch"} for verbs in _granted(view).values())
    assert not any("/status" in resource for resource in _granted(edit))


def test_rights_can_be_left_to_the_cluster_administrator() -> None:
    kinds = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    assert of_kind(render({"rbac": {"create": False}}), *kinds) == []
