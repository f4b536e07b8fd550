"""The custom resources, from their definitions; the reasons of conditions, from the operator's module of them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import outbox_operator.api.conditions as api
from tools.reference.markdown import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEAD = ("Field", "Type", "Default", "Valid", "Meaning")
BOUNDS = (
    ("minimum", "at least {}"),
    ("maximum", "at most {}"),
    ("minLength", "at least {} long"),
    ("maxLength", "at most {} long"),
    ("minItems", "at least {} items"),
    ("maxItems", "at most {} items"),
    ("maxProperties", "at most {} keys"),
)


def section(root: Path) -> str:
    """Return the sections on both resources and on conditions."""
    parts = [_resource(root / "crds" / f"{plural}.yaml") for plural in ("publishers", "subscriptions")]
    return "".join([*parts, _conditions()])


def _resource(path: Path) -> str:
    definition = yaml.safe_load(path.read_text("utf-8"))["spec"]
    version = definition["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = definition["names"]
    spec = schema["properties"]["spec"]
    rules = [f"- {rule['message']}" for part in (schema, spec) for rule in part.get("x-kubernetes-validations", ())]
    return (
        f"\n## {names['kind']}\n\n`{definition['group']}/{version['name']}`, short name `{names['shortNames'][0]}`."
        f" {' '.join(schema['description'].split())}\n\n"
        + table(HEAD, _fields(spec, "", frozenset(spec.get("required", ()))))
        + "\nThe API server also refuses a resource unless:\n\n"
        + "\n".join(rules)
        + "\n"
    )


def _fields(schema: Mapping[str, Any], path: str, required: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each field below ``schema``; what Kubernetes itself defines is not repeated."""
    for name, field in schema.get("properties", {}).items():
        here = f"{path}{name}"
        shown = "required" if name in required else code(field["default"]) if "default" in field else ""
        yield code(here), _type(field), shown, _valid(field), field.get("description", "")
        inner, suffix = (field["items"], "[].") if field.get("type") == "array" else (field, ".")
        if not inner.get("x-kubernetes-preserve-unknown-fields"):
            yield from _fields(inner, here + suffix, frozenset(inner.get("required", ())))


def _valid(field: Mapping[str, Any]) -> str:
    """Say what the API server holds a field to: its bounds, then its rules in their own words."""
    # That a text must not be empty goes without saying.
    told = [(name, words) for name, words in BOUNDS if name in field and (name, field[name]) != ("minLength", 1)]
    bounds = ", ".join(words.format(field[name]) for name, words in told)
    rules = [" ".join(rule["message"].split()) for rule in field.get("x-kubernetes-validations", ())]
    return "; ".join([bounds] * bool(bounds) + rules)


def _type(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " or ".join(code(value) for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    return str(field.get("type", "any"))


def _conditions() -> str:
    """Return the table of reasons; a reason's meaning is the string that follows it in the module."""
    rows = [(code(value), text) for value, text in _documented_constants()]
    return (
        "\n## Conditions\n\nTypes: "
        + ", ".join(code(kind) for kind in api.TYPES)
        + ". The message of a condition says what is wrong and what to do; its reason is one of:\n\n"
        + table(("Type or reason", "Meaning"), rows)
    )


def _documented_constants() -> Iterator[tuple[str, str]]:
    body = ast.parse(Path(api.__file__).read_text("utf-8")).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(statement, ast.AnnAssign) and isinstance(statement.value, ast.Constant)):
            continue
        documented = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        text = str(following.value.value) if documented else ""  # type: ignore[union-attr]
        yield str(statement.value.value), text
