"""Write the table of values into the chart's README from the ``# --`` comments in ``values.yaml``.

A comment documents the key below it. A documented key whose children are documented too is listed with them; otherwise
its whole default is shown.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHART = "charts/outbox-operator"
BEGIN = "<!-- values: made from values.yaml by `make generate` -->"
END = "<!-- end of values -->"


@dataclass(frozen=True)
class Value:
    """A documented value: its dotted path, default as JSON and what it does."""

    path: str
    default: str
    text: str


def files(root: Path) -> dict[Path, str]:
    """Return the chart's README with a fresh table."""
    readme = root / CHART / "README.md"
    values = (root / CHART / "values.yaml").read_text("utf-8")
    return {readme: with_table(readme.read_text("utf-8"), table(list(documented(values))))}


def with_table(readme: str, rows: str) -> str:
    """Return the README's text with ``rows`` between the two markers; ValueError when a marker is missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the chart's README needs the lines {BEGIN!r} and {END!r}, the table goes between them")
    return f"{before}{BEGIN}\n{rows}\n{END}{after}"


def table(values: list[Value]) -> str:
    """Return a Markdown table of the values."""
    lines = ["| Value | Default | Meaning |", "|---|---|---|"]
    lines += [f"| `{value.path}` | {_cell(value.default)} | {value.text.replace('|', '&#124;')} |" for value in values]
    return "\n".join(lines)


def documented(text: str) -> Iterator[Value]:
    """Yield the documented values of a values file in their order."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    yield from _documented(node, yaml.safe_load(text), text.splitlines(), ())


def undocumented(text: str) -> list[str]:
    """Return the paths of values that neither have a comment nor lie below a key that has one."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_undocumented(node, text.splitlines(), ()))


def _documented(node: Any, data: Any, lines: list[str], path: tuple[str, ...]) -> Iterator[Value]:
    for key, child in node.value:
        here, value = (*path, key.value), data[key.value]
        comment = _comment_above(lines, key.start_mark.line)
        below = list(_documented(child, value, lines, here)) if _is_map(child) else []
        if comment:
            yield Value(".".join(here), "" if below else json.dumps(value), comment)
        yield from below


def _undocumented(node: Any, lines: list[str], path: tuple[str, ...]) -> Iterator[str]:
    for key, child in node.value:
        here = (*path, key.value)
        if _comment_above(lines, key.start_mark.line):
            continue
        if _is_map(child):
            yield from _undocumented(child, lines, here)
        else:
            yield ".".join(here)


def _is_map(node: Any) -> bool:
    return isinstance(node, yaml.MappingNode) and bool(node.value) and not node.flow_style


def _comment_above(lines: list[str], line: int) -> str:
    """Return the text of the ``# --`` comment that ends right above ``line``, empty when there is none."""
    found: list[str] = []
    while line > 0 and lines[line - 1].strip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().lstrip("#").strip())
    return " ".join(found).partition("-- ")[2]


def _cell(default: str) -> str:
    return f"`{default}`" if default else ""
