"""What differs, in words; and that writing the same thing in another way is no difference."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from outbox_operator.build.names import CONFIG_ANNOTATION
from outbox_operator.diff import explain_roll, first_difference, in_words
from outbox_operator.plan import Observed, plan
from tests.unit.operator.objects import publisher


def template(**container: Any) -> dict[str, Any]:
    base = {
        "name": "worker",
        "image": "shop:1",
        "env": [{"name": "DEBUG", "value": "0"}],
        "resources": {"requests": {"cpu": "1"}},
    }
    return {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{**base, **container}]}}


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"cpu": "1000m"}, {"cpu": "1"}),
        ({"cpu": 1}, {"cpu": "1"}),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}),
        ({"value": ""}, {}),
        ({"optional": False}, {}),
        ({"items": []}, {}),
        ({"image": "a"}, {"image": "a", "imagePullPolicy": "Always"}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": [{"name": "B"}, {"name": "A", "value": "1"}]}),
    ],
    ids=["milli", "number", "binary", "empty text", "false", "empty list", "default", "foreign item"],
)
def test_the_same_thing_written_otherwise_is_no_difference(wanted: Any, live: Any) -> None:
    assert first_difference(wanted, live) is None


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        ({"replicas": 2}, {"replicas": 5}),
        ({"replicas": 0}, {"replicas": 5}),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}),
        ({"args": ["a"]}, {"args": ["a", "b"]}),
        ({"emptyDir": {}}, {}),
        ({"env": [{"name": "A", "value": "1"}]}, {"env": []}),
        ({"cpu": "1"}, {"cpu": "2"}),
        ({"readOnlyRootFilesystem": True}, {"readOnlyRootFilesystem": False}),
    ],
)
def test_a_changed_or_missing_field_is_a_difference(wanted: Any, live: Any) -> None:
    assert first_difference(wanted, live) is not None


def test_an_applied_deployment_does_not_differ_from_itself_with_the_defaults_of_the_api_server() -> None:
    wanted = plan(publisher(), Observed()).deployment
    assert wanted is not None
    live = copy.deepcopy(wanted)
    live["spec"]["template"]["spec"]["dnsPolicy"] = "ClusterFirst"
    live["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "now"}
    assert first_difference(wanted, live) is None


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (template(image="shop:2"), "image changed from shop:1 to shop:2"),
        (template(env=[{"name": "DEBUG", "value": "1"}]), "environment variable DEBUG changed"),
        (template(env=[]), "environment variable DEBUG changed"),
        (template(args=["publish"]), "args was added"),
        (template(resources={"requests": {"cpu": "2"}}), "resources.requests.cpu changed from 1 to 2"),
        (template(image="shop:2", args=["x"]), "image changed from shop:1 to shop:2 (and 1 more change)"),
        (
            template(image="shop:2", args=["x"], command=["y"]),
            "image changed from shop:1 to shop:2 (and 2 more changes)",
        ),
    ],
)
def test_a_roll_is_explained_by_what_matters_most(new: Any, words: str) -> None:
    assert explain_roll(new, template()) == words


def test_what_the_gates_share_with_the_worker_is_told_once() -> None:
    def gated(image: str, args: list[str]) -> dict[str, Any]:
        found = template(image=image)
        found["spec"]["initContainers"] = [{"name": "preflight", "image": image, "args": args}]
        return found

    assert explain_roll(gated("shop:2", []), gated("shop:1", [])) == "image changed from shop:1 to shop:2"
    only_the_gate = explain_roll(gated("shop:1", ["a"]), gated("shop:1", ["b"]))
    assert only_the_gate == "spec.initContainers[preflight].args changed from b to a"


def test_equal_templates_explain_nothing() -> None:
    assert explain_roll(template(), template()) is None


def test_no_value_of_a_variable_is_ever_told() -> None:
    new = template(env=[{"name": "PASSWORD", "value": "new-secret"}])
    old = template(env=[{"name": "PASSWORD", "value": "old-secret"}])
    assert "secret" not in str(explain_roll(new, old))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Secret/env=1", "Secret/env=2", "Secret env changed"),
        ("", "Secret/env=2", "Secret env is now used by the environment"),
        ("Secret/env=1", "", "Secret env is no longer used by the environment"),
        ("ConfigMap/a=1,Secret/b=1", "ConfigMap/a=2,Secret/b=2", "ConfigMap a changed (and 1 more)"),
    ],
)
def test_a_changed_secret_is_named_as_the_cause(old: str, new: str, words: str) -> None:
    assert explain_roll(_marked(new), _marked(old)) == words


def _marked(marks: str) -> dict[str, Any]:
    found = template()
    if marks:
        found["metadata"]["annotations"] = {CONFIG_ANNOTATION: marks}
    return found


def test_a_field_of_the_deployment_is_told_with_its_path() -> None:
    difference = first_difference({"spec": {"replicas": 1}}, {"spec": {"replicas": 5}})
    assert difference is not None
    assert in_words(difference) == "spec.replicas changed from 5 to 1"


def test_long_values_are_cut() -> None:
    words = explain_roll(template(image="x" * 500), template())
    assert words is not None
    assert len(words) < 200
