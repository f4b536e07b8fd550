"""The CRDs: described and bounded throughout, alike in what they share, with the defaults of the operator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from outbox_operator.api.autoscaling import parse_autoscaling
from outbox_operator.api.resource import GROUP, KINDS, VERSION, Kind
from outbox_operator.api.worker import parse_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

CRDS = Path(__file__).parents[3] / "crds"
ONLY_PUBLISHER = {"batchSize", "database"}
ONLY_SUBSCRIPTION = {"callback", "destination", "queue", "ordering", "consumer"}


def crd(plural: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CRDS / f"{plural}.yaml").read_text())
    return loaded


def schema(plural: str) -> dict[str, Any]:
    found: dict[str, Any] = crd(plural)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def spec(plural: str) -> dict[str, Any]:
    found: dict[str, Any] = schema(plural)["properties"]["spec"]["properties"]
    return found


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, child in node.get("properties", {}).items():
        if (path, name) != ("", "metadata"):
            yield from nodes(child, f"{path}.{name}")
    for part in ("items", "additionalProperties"):
        if isinstance(node.get(part), dict):
            yield from nodes(node[part], f"{path}[]")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_names_are_those_that_the_operator_uses(kind: Kind) -> None:
    found = crd(kind.plural)
    assert found["metadata"]["name"] == f"{kind.plural}.{GROUP}"
    assert found["spec"]["names"]["kind"] == kind.name
    assert [version["name"] for version in found["spec"]["versions"]] == [VERSION]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_is_described(kind: Kind) -> None:
    silent = [
        path for path, node in nodes(schema(kind.plural), "") if "description" not in node and "[]" not in path[-2:]
    ]
    assert silent == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_text_list_and_map_of_the_spec_is_bounded(kind: Kind) -> None:
    limits = {"string": "maxLength", "array": "maxItems"}
    found = nodes(schema(kind.plural)["properties"]["spec"], "spec")
    boundless = [
        path
        for path, node in found
        if (limit := limits.get(node.get("type", ""))) and limit not in node and "enum" not in node
    ]
    maps = [
        path
        for path, node in nodes(schema(kind.plural), "")
        if "additionalProperties" in node and "maxProperties" not in node
    ]
    assert boundless + maps == []


def test_what_both_kinds_share_is_the_same_in_both() -> None:
    publisher, subscription = spec("publishers"), spec("subscriptions")
    shared = publisher.keys() - ONLY_PUBLISHER
    assert shared == subscription.keys() - ONLY_SUBSCRIPTION
    # Each kind has a drain limit of its own.
    differing = [name for name in shared if publisher[name] != subscription[name]]
    assert differing == ["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_defaults_of_the_operator_are_those_of_the_schema(kind: Kind) -> None:
    defaults = {name: field["default"] for name, field in spec(kind.plural).items() if "default" in field}
    for name in [name for name, default in defaults.items() if default == {}]:
        inner = spec(kind.plural)[name]["properties"].items()
        defaults[name] = {field: schema["default"] for field, schema in inner if "default" in schema}
    shared = {name: value for name, value in defaults.items() if name not in ONLY_SUBSCRIPTION}
    assert parse_worker({}) == parse_worker(shared)


def test_the_defaults_of_autoscaling_are_those_of_the_schema() -> None:
    needed = {
        "maxReplicas": 5,
        "source": {"type": "RabbitMQ", "rabbitMQ": {"managementURL": "http://b", "credentials": {"secretName": "s"}}},
    }
    completed = with_defaults(needed, spec("subscriptions")["autoscaling"])
    assert completed["minReplicas"] == 1
    assert parse_autoscaling({"autoscaling": completed}) == parse_autoscaling({"autoscaling": needed})


def with_defaults(value: Any, node: dict[str, Any]) -> Any:
    """Fill in a schema's defaults, as the API server does."""
    if not isinstance(value, dict):
        return value
    properties = node.get("properties", {})
    missing = {name: child["default"] for name, child in properties.items() if "default" in child}
    return {name: with_defaults(item, properties.get(name, {})) for name, item in {**missing, **value}.items()}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_no_rule_is_without_words(kind: Kind) -> None:
    rules = [rule for _, node in nodes(schema(kind.plural), "") for rule in node.get("x-kubernetes-validations", ())]
    assert rules
    assert [rule for rule in rules if len(rule.get("message", "")) < 30] == []
