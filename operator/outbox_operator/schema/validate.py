"""Check a whole object: defaults, structure, then the rules. Used for files, and for objects of an older schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox_operator.schema.cel import CelError, compile_rule
from outbox_operator.schema.crds import openapi_schema
from outbox_operator.schema.defaults import with_defaults
from outbox_operator.schema.structure import Violation, violations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox_operator.api.resource import Kind


def validate(kind: Kind, obj: Mapping[str, Any], *, known_only: bool = False) -> list[Violation]:
    """Return what the API server would refuse an object for; empty when nothing.

    Rules about a change are for the API server alone: here is no former object to compare with. As there, rules are
    looked at only when the structure is sound. `known_only` passes over fields that this version does not know.
    """
    schema = openapi_schema(kind)
    filled = with_defaults(schema, obj)
    broken = [found for found in violations(schema, filled) if not (known_only and found.is_unknown_field)]
    return broken or list(broken_rules(schema, filled))


def broken_rules(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[Violation]:
    """Yield the rules of a schema that a value breaks."""
    for rule in schema.get("x-kubernetes-validations", ()):
        if not _holds(rule["rule"], value):
            yield Violation(f"{path}{rule.get('fieldPath', '')}".lstrip("."), f"Invalid value: {rule['message']}")
    if isinstance(value, dict):
        for name, item in value.items():
            child = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if isinstance(child, dict):
                yield from broken_rules(child, item, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from broken_rules(schema.get("items", {}), item, f"{path}[{place}]")


def _holds(text: str, value: Any) -> bool:
    rule = compile_rule(text)
    if "oldSelf" in rule.names:
        return True
    try:
        return bool(rule.evaluate({"self": value}))
    except CelError:
        return False
