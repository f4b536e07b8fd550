"""The table of ``docs/comparison.md`` names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| `(tests/[\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
ROWS = ROW.findall((REPOSITORY / "docs" / "comparison.md").read_text())


def test_all_are_in_the_table_in_their_order() -> None:
    assert [int(number) for number, *_ in ROWS] == list(range(1, 32))


def test_each_has_a_test_of_its_own() -> None:
    assert len({(path, name) for *_, path, name in ROWS}) == len(ROWS)


@pytest.mark.parametrize(("path", "name"), [(path, name) for *_, path, name in ROWS])
def test_each_named_test_can_be_collected(path: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / path).read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name in functions, f"{path} has no test of that name"
    marks = [ast.unparse(mark) for mark in functions[name].decorator_list]
    assert not any("skip" in mark or "xfail" in mark for mark in marks), marks
