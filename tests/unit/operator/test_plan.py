"""What is decided about a resource: each branch of the plan, without a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.api.resource import Object, Resource
from outbox_operator.build.names import CONFIG_ANNOTATION
from outbox_operator.build.references import ConfigName
from outbox_operator.plan import Observed, plan
from tests.unit.operator.objects import UID, applied, following, publisher, subscription, workload

ENV = ConfigName("Secret", "env")
NEEDS_KEY = {"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "env", "key": "token"}}}]}
NEEDS_ALL = {"envFrom": [{"secretRef": {"name": "env"}}]}


def deployment_of(resource: Resource, observed: Observed) -> Object:
    found = plan(resource, observed).deployment
    assert found is not None
    return found


def marks(resource: Resource, observed: Observed) -> str | None:
    metadata = deployment_of(resource, observed)["spec"]["template"]["metadata"]
    return metadata.get("annotations", {}).get(CONFIG_ANNOTATION)


def live(resource: Resource, **changes: Any) -> Object:
    """The resource's Deployment as it was applied while everything existed."""
    observed = Observed(config={ENV: {"token": "1"}}, workload=workload())
    deployment = applied(deployment_of(resource, observed))
    return {**deployment, "metadata": {**deployment["metadata"], **changes}}


@pytest.mark.parametrize(
    ("spec", "content", "reason", "words"),
    [
        (NEEDS_ALL, None, api.SECRET_NOT_FOUND, "Secret env does not exist in namespace shop. Create it"),
        (NEEDS_KEY, None, api.SECRET_NOT_FOUND, "Secret env does not exist in namespace shop. Create it"),
        (NEEDS_KEY, {"other": "1"}, api.SECRET_NOT_FOUND, "Secret env in namespace shop has no key token. Add the key"),
    ],
    ids=["the Secret of envFrom", "the Secret of a variable", "the key of a variable"],
)
def test_nothing_is_created_while_a_secret_is_missing(spec: Any, content: Any, reason: str, words: str) -> None:
    found = plan(publisher(**spec), Observed(config={ENV: content}))
    assert found.deployment is None
    assert found.unresolved is not None
    assert found.unresolved.reason == reason
    assert found.unresolved.message.startswith(words)


def test_a_missing_config_map_of_a_volume_is_named() -> None:
    volume = {"spec": {"volumes": [{"name": "v", "configMap": {"name": "settings"}}]}}
    found = plan(publisher(template=volume), Observed(config={ConfigName("ConfigMap", "settings"): None}))
    assert found.unresolved is not None
    assert found.unresolved.reason == api.CONFIG_MAP_NOT_FOUND
    assert "ConfigMap settings" in found.unresolved.message


def test_present_workers_are_left_alone_while_a_secret_is_missing() -> None:
    resource = publisher(**NEEDS_ALL)
    found = plan(resource, Observed(deployment=live(resource), config={ENV: None}))
    assert (found.deployment, found.scale_to) == (None, None)


def test_suspending_takes_effect_while_a_secret_is_missing() -> None:
    running = live(publisher(**NEEDS_ALL))
    found = plan(publisher(state="Suspended", **NEEDS_ALL), Observed(deployment=running, config={ENV: None}))
    assert (found.deployment, found.scale_to) == (None, 0)


@pytest.mark.parametrize(
    "spec",
    [
        {"envFrom": [{"secretRef": {"name": "env", "optional": True}}]},
        {"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "env", "key": "k", "optional": True}}}]},
    ],
    ids=["envFrom", "env"],
)
def test_an_optional_reference_may_be_missing(spec: Any) -> None:
    assert marks(publisher(**spec), Observed(config={ENV: None})) is None


def test_a_changed_secret_changes_the_pod_template() -> None:
    resource = publisher(**NEEDS_ALL)
    before, same, after = (marks(resource, Observed(config={ENV: {"token": v}})) for v in ("1", "1", "2"))
    assert before == same != after


def test_a_key_that_no_variable_reads_may_change_without_a_roll() -> None:
    resource = publisher(**NEEDS_KEY)
    before, after = (marks(resource, Observed(config={ENV: {"token": "1", "other": v}})) for v in ("1", "2"))
    assert before == after


def test_marks_of_the_same_secret_differ_between_resources() -> None:
    observed = Observed(config={ENV: {"token": "1"}})
    other = publisher(**NEEDS_ALL)
    assert marks(other, observed) != marks(Resource(**{**vars(other), "uid": "another"}), observed)


def test_restart_policy_never_ignores_a_changed_secret() -> None:
    resource = publisher(restartPolicy="Never", **NEEDS_ALL)
    assert marks(resource, Observed(config={ENV: {"token": "2"}})) is None


def test_switching_to_restart_policy_never_does_not_itself_roll() -> None:
    before = live(publisher(**NEEDS_ALL))
    resource = publisher(restartPolicy="Never", **NEEDS_ALL)
    kept = marks(resource, Observed(deployment=before, config={ENV: {"token": "2"}}))
    assert kept == before["spec"]["template"]["metadata"]["annotations"][CONFIG_ANNOTATION]


def test_a_missing_workload_is_said_and_nothing_is_created() -> None:
    found = plan(following(), Observed(workload=None))
    assert found.deployment is None
    assert found.unresolved is not None
    assert found.unresolved.reason == api.WORKLOAD_NOT_FOUND
    assert "Deployment web does not exist in namespace shop" in found.unresolved.message


def test_a_missing_container_of_the_workload_is_said_with_those_that_exist() -> None:
    resource = following(workloadRef={"name": "web", "container": "api"})
    found = plan(resource, Observed(workload=workload()))
    assert found.unresolved is not None
    assert found.unresolved.reason == api.WORKLOAD_NOT_FOUND
    assert "no container api; it has web" in found.unresolved.message


@pytest.mark.parametrize("label", ["djangooutbox.io/publisher", "djangooutbox.io/subscription"])
def test_a_deployment_of_workers_cannot_be_followed(label: str) -> None:
    target = workload()
    target["spec"]["template"]["metadata"]["labels"][label] = "orders"
    found = plan(following(), Observed(workload=target))
    assert found.unresolved is not None
    assert found.unresolved.reason == api.WORKLOAD_REFUSED


def test_the_default_container_annotation_decides_whom_to_follow() -> None:
    target = workload()
    target["spec"]["template"]["spec"]["containers"].insert(0, {"name": "sidecar", "image": "proxy:1"})
    target["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "web"}
    assert plan(following(), Observed(workload=target)).image == "shop:7"


def test_a_deployment_of_somebody_else_is_never_taken_over() -> None:
    foreign = live(publisher(), ownerReferences=[])
    foreign["metadata"]["labels"] = {"app": "web"}
    found = plan(publisher(), Observed(deployment=foreign))
    assert found.deployment is None
    assert found.conflict is not None
    assert found.conflict.reason == api.NAME_CONFLICT
    assert "Deployment orders-pub is needed" in found.conflict.message


def test_a_deployment_of_another_controller_is_never_taken_over_though_it_carries_our_labels() -> None:
    owner = {"apiVersion": "argoproj.io/v1", "kind": "Rollout", "name": "web", "uid": "x", "controller": True}
    found = plan(publisher(), Observed(deployment=live(publisher(), ownerReferences=[owner])))
    assert found.deployment is None
    assert found.conflict is not None
    assert "belongs to Rollout web" in found.conflict.message


def test_an_orphan_of_ours_is_adopted() -> None:
    found = plan(publisher(), Observed(deployment=live(publisher(), ownerReferences=[])))
    assert found.deployment is not None
    assert found.deployment["metadata"]["ownerReferences"][0]["uid"] == UID


def test_the_deployment_of_a_deleted_predecessor_is_waited_for() -> None:
    owner = {"apiVersion": "djangooutbox.io/v1alpha1", "kind": "Publisher", "name": "orders", "uid": "old"}
    found = plan(publisher(), Observed(deployment=live(publisher(), ownerReferences=[{**owner, "controller": True}])))
    assert found.conflict is not None
    assert found.conflict.reason == api.TERMINATING_PREDECESSOR


def test_secrets_of_all_containers_and_volumes_are_looked_at() -> None:
    template = {
        "spec": {
            "initContainers": [{"name": "wait", "image": "i", "envFrom": [{"configMapRef": {"name": "a"}}]}],
            "containers": [{"name": "proxy", "image": "p", "env": [_from_secret("b")]}],
            "volumes": [
                {"name": "one", "secret": {"secretName": "c"}},
                {"name": "two", "projected": {"sources": [{"configMap": {"name": "d"}}]}},
            ],
        }
    }
    found = plan(subscription(template=template), Observed())
    assert found.unresolved is not None
    assert "3 more references are missing" in found.unresolved.message


def _from_secret(name: str) -> dict[str, Any]:
    return {"name": "X", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}
