"""What the API server refuses is refused from the file alone, in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.api.resource import KIND_BY_NAME, KINDS, PUBLISHER, SUBSCRIPTION, Kind
from outbox_operator.schema.cel import CelError, compile_rule
from outbox_operator.schema.crds import openapi_schema
from outbox_operator.schema.defaults import with_defaults
from outbox_operator.schema.validate import validate
from tests.cluster.manifests import publisher, subscription
from tests.cluster.test_refusals import REFUSED
from tests.unit.operator.test_crds import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping


def words(manifest: Mapping[str, Any]) -> str:
    return " ".join(" ".join(map(str, validate(KIND_BY_NAME[manifest["kind"]], manifest))).split())


@pytest.mark.parametrize(("manifest", "expected"), REFUSED.values(), ids=REFUSED.keys())
def test_what_the_api_server_refuses_is_refused_without_it_in_the_same_words(
    manifest: dict[str, Any], expected: str
) -> None:
    assert expected in words(manifest)


@pytest.mark.parametrize("manifest", [publisher("orders"), subscription("billing", ordering="Ordered", replicas=1)])
def test_a_sound_resource_is_not_refused(manifest: dict[str, Any]) -> None:
    assert validate(KIND_BY_NAME[manifest["kind"]], manifest) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_rule_of_the_crds_is_understood(kind: Kind) -> None:
    found = [
        rule["rule"]
        for _, node in nodes(dict(openapi_schema(kind)), "")
        for rule in node.get("x-kubernetes-validations", ())
    ]
    assert len(found) > 5
    assert all(compile_rule(rule).names <= {"self", "oldSelf"} for rule in found)


def test_rules_about_a_change_need_the_former_object_and_are_left_out() -> None:
    assert compile_rule("self == oldSelf").names == {"self", "oldSelf"}
    assert validate(SUBSCRIPTION, subscription("billing", queue="other")) == []


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        (publisher("x", replicas="two"), "spec.replicas"),
        (publisher("x", env={"A": "1"}), "spec.env"),
        (publisher("x", workloadRef=None, image=["shop:1"]), "spec.image"),
        ({**publisher("x"), "spec": None}, "spec"),
        (publisher("x", template={"spec": {"containers": "worker"}}), "spec.template.spec.containers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_value_of_the_wrong_type_is_named_by_its_path(manifest: dict[str, Any], path: str) -> None:
    assert [violation.path for violation in validate(PUBLISHER, manifest)] == [path]


def test_defaults_are_filled_in_before_anything_is_checked() -> None:
    filled = with_defaults(openapi_schema(PUBLISHER), publisher("orders"))
    assert filled["spec"]["state"] == "Running"
    assert filled["spec"]["metrics"] == {"port": 9090}


@pytest.mark.parametrize(
    ("rule", "scope", "expected"),
    [
        ("self.a > 1 && self.b < 2", {"a": 2, "b": 1}, True),
        ("!has(self.a) || self.a == 'x'", {}, True),
        ("self.missing == 1 || self.a == 1", {"a": 1}, True),
        ("self.missing == 1 && self.a == 1", {"a": 2}, False),
        ("self.a.all(x, x > self.low)", {"a": [2, 3], "low": 1}, True),
        ("self.a.exists(x, x.startsWith('b/'))", {"a": {"a": 1, "b/c": 2}}, True),
        ("size(self.a) + 1 == 3 ? self.a[0] == 'x' : false", {"a": ["x", "y"]}, True),
        (r"self.a.matches('^\\w+$')", {"a": "a-b"}, False),
        ("self.a in ['x', \"y\"]", {"a": "y"}, True),
        ("-self.a % 3 == -(1)", {"a": 1}, True),
        ("type(self.a) == int ? self.a > 0 : self.a.matches('^[1-9]%$')", {"a": "5%"}, True),
        ("int(self.a) * 2 - 1 >= 9 / 2", {"a": "3"}, True),
    ],
)
def test_rules_mean_what_the_api_server_means_by_them(rule: str, scope: dict[str, Any], expected: bool) -> None:
    assert compile_rule(rule).evaluate({"self": scope}) is expected


@pytest.mark.parametrize(
    "rule", ["self.a ==", "self.split('x')", "duration(self.a)", "self.a; 1", "(self.a", "self.a 1"]
)
def test_a_rule_that_is_not_understood_says_so(rule: str) -> None:
    with pytest.raises(CelError, match="is not understood"):
        compile_rule(rule)


def test_a_field_that_is_absent_has_no_value() -> None:
    with pytest.raises(CelError, match="no such key: b"):
        compile_rule("self.b == 1").evaluate({"self": {}})
