"""Fill in the defaults of a schema, as the API server does before it validates."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_defaults(schema: Mapping[str, Any], value: Any) -> Any:
    """Return a copy of a value with every default of the schema in place."""
    if isinstance(value, dict):
        filled = {name: with_defaults(_child(schema, name), item) for name, item in value.items()}
        for name, child in schema.get("properties", {}).items():
            # A null where none is allowed counts as absent when there is a default.
            if "default" in child and filled.get(name) is None:
                filled[name] = with_defaults(child, copy.deepcopy(child["default"]))
        return filled
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), item) for item in value]
    return value


def _child(schema: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    child: Mapping[str, Any] | None = schema.get("properties", {}).get(name)
    if child is not None:
        return child
    more = schema.get("additionalProperties")
    return more if isinstance(more, dict) else {}
