"""Check a value against the structure of a schema: types, bounds, unknown fields. The words are the API server's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

_INTEGERS: Final = {"int32": 2**31, "int64": 2**63}


class Violation(NamedTuple):
    """What is wrong with an object, and where."""

    path: str
    message: str

    @property
    def is_unknown_field(self) -> bool:
        """Whether it is only a field that the schema does not have."""
        return not self.path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def violations(schema: Mapping[str, Any], value: Any, path: str = "") -> Iterator[Violation]:
    """Yield whatever in a value the structure does not allow; metadata is the API server's own business."""
    type_ = schema.get("type")
    if schema.get("x-kubernetes-int-or-string"):
        type_ = "string" if isinstance(value, str) else "integer"
    if value is None and schema.get("nullable"):
        return
    if type_ and not _is(type_, value):
        yield Violation(path, f'Invalid value: "{_type_of(value)}": {path} in body must be of type {type_}')
        return
    if "enum" in schema and value not in schema["enum"]:
        allowed = ", ".join(json.dumps(item) for item in schema["enum"])
        yield Violation(path, f"Unsupported value: {json.dumps(value)}: supported values: {allowed}")
    if isinstance(value, dict):
        yield from _of_object(schema, value, path)
    elif isinstance(value, list):
        yield from _of_list(schema, value, path)
    elif isinstance(value, str):
        yield from _of_text(schema, value, path)
    elif not isinstance(value, bool) and isinstance(value, int | float):
        yield from _of_number(schema, value, path)


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Any], path: str) -> Iterator[Violation]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    more = schema.get("additionalProperties")
    for name in schema.get("required", ()):
        if name not in value:
            yield Violation(_join(path, name), "Required value")
    if len(value) < schema.get("minProperties", 0):
        yield Violation(
            path, f"Invalid value: {path} in body should have at least {schema['minProperties']} properties"
        )
    if len(value) > schema.get("maxProperties", len(value)):
        yield Violation(path, f"Too many: {len(value)}: must have at most {schema['maxProperties']} items")
    for name, item in value.items():
        place = _join(path, name)
        if place == "metadata":
            continue
        if name in properties:
            yield from violations(properties[name], item, place)
        elif isinstance(more, Mapping):
            yield from violations(more, item, place)
        elif not more and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield Violation("", f'unknown field "{place}"')


def _of_list(schema: Mapping[str, Any], value: list[Any], path: str) -> Iterator[Violation]:
    if len(value) < schema.get("minItems", 0):
        yield Violation(
            path, f"Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items"
        )
    if len(value) > schema.get("maxItems", len(value)):
        yield Violation(path, f"Too many: {len(value)}: must have at most {schema['maxItems']} items")
    for place, item in enumerate(value):
        yield from violations(schema.get("items", {}), item, f"{path}[{place}]")
    yield from _duplicates(schema, value, path)


def _duplicates(schema: Mapping[str, Any], value: list[Any], path: str) -> Iterator[Violation]:
    names = schema.get("x-kubernetes-list-map-keys", ())
    if schema.get("x-kubernetes-list-type") not in ("map", "set"):
        return
    seen: set[str] = set()
    for place, item in enumerate(value):
        known_by = {name: item.get(name) for name in names} if isinstance(item, Mapping) else item
        identity = json.dumps(known_by, sort_keys=True)
        if identity in seen:
            yield Violation(f"{path}[{place}]", f"Duplicate value: {identity}")
        seen.add(identity)


def _of_text(schema: Mapping[str, Any], value: str, path: str) -> Iterator[Violation]:
    if len(value) > schema.get("maxLength", len(value)):
        yield Violation(path, f"Too long: may not be more than {schema['maxLength']} characters")
    if len(value) < schema.get("minLength", 0):
        limit = schema["minLength"]
        yield Violation(
            path, f"Invalid value: {json.dumps(value)}: {path} in body should be at least {limit} chars long"
        )
    pattern = schema.get("pattern")
    if pattern and not re.search(pattern, value, re.ASCII):
        yield Violation(path, f"Invalid value: {json.dumps(value)}: {path} in body should match '{pattern}'")


def _of_number(schema: Mapping[str, Any], value: float, path: str) -> Iterator[Violation]:
    bound = _INTEGERS.get(schema.get("format", ""), 2**63)
    low, high = schema.get("minimum", -bound), schema.get("maximum", bound - 1)
    if value < low:
        yield Violation(path, f"Invalid value: {value}: {path} in body should be greater than or equal to {low}")
    if value > high:
        yield Violation(path, f"Invalid value: {value}: {path} in body should be less than or equal to {high}")


def _is(type_: str, value: Any) -> bool:
    if isinstance(value, bool):
        return type_ == "boolean"
    if type_ == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    types = {"object": Mapping, "array": list, "string": str, "number": int | float}
    return isinstance(value, types.get(type_, ()))


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    for type_ in ("boolean", "integer", "number", "string", "array", "object"):
        if _is(type_, value):
            return type_
    return type(value).__name__


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
