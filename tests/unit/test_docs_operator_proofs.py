"""The page of the operator's promises names tests that exist, that run, and `make` targets that there are."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "operator-proofs.md").read_text()
ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|"))
    for line in PAGE.splitlines()
    if line.startswith("| ") and not line.startswith(("| ---", "| Promise", "| Input"))
]
TEST = re.compile(r"^(tests/[\w/]+\.py)::((?:Test\w+::)?test_\w+)$")
TARGET = re.compile(r"^make ([\w-]+)$")
NAMED = sorted({named for row in ROWS for named in re.findall(r"`([^`]+)`", row[-1])})


@cache
def collected_from(path: str) -> dict[str, tuple[ast.expr, ...]]:
    """Tests of a file with everything that is written above them and above their class."""
    tree = ast.parse((REPOSITORY / path).read_text())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = tuple(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    found[f"{node.name}::{inner.name}"] = (*node.decorator_list, *inner.decorator_list)
    return found


def test_every_promise_is_shown_by_something() -> None:
    assert len(ROWS) > 60
    assert all(len(row) == 2 for row in ROWS)
    assert [row[0] for row in ROWS if not re.fullmatch(r"(`[^`]+`(, )?)+", row[1])] == []
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("named", NAMED)
def test_whatever_the_page_names_exists_and_is_not_skipped(named: str) -> None:
    target = TARGET.match(named)
    if target is not None:
        assert re.search(rf"^{target[1]}:", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        return
    test = TEST.match(named)
    assert test is not None, f"{named} is neither a test nor a target"
    path, name = test.groups()
    assert name in collected_from(path), f"{path} has no test {name}"
    marks = [ast.unparse(mark) for mark in collected_from(path)[name]]
    assert not any("skip" in mark or "xfail" in mark for mark in marks), marks
