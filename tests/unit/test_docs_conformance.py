"""docs/conformance.md says what the tests showed and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tools import conformance

if TYPE_CHECKING:
    from pathlib import Path

CELLS: list[Any] = [
    {
        "feature": feature,
        "broker": broker,
        "database": database,
        "says": "yes",
        "test": f"tests/x/test_{feature}.py::test_it",
        "outcome": "passed",
    }
    for feature in ("sends", "keeps")
    for broker in conformance.BROKERS
    for database in conformance.DATABASES
]
CHANGED = [{**CELLS[0], "says": "by polling"}, *CELLS[1:]]
FAILED = [{**CELLS[0], "outcome": "failed"}, *CELLS[1:]]


def test_a_page_of_what_was_shown_is_right_in_whatever_order_it_was_shown() -> None:
    assert conformance.problems(list(reversed(CELLS)), conformance.page(CELLS)) == []


@pytest.mark.parametrize("cells", [CELLS[1:], CHANGED, FAILED, CELLS[:12], []])
def test_a_cell_that_did_not_run_failed_or_says_something_else_is_told(cells: list[Any]) -> None:
    assert conformance.problems(cells, conformance.page(CELLS))


def test_a_cell_that_is_not_on_the_page_is_told() -> None:
    assert conformance.problems(CELLS, conformance.page(CELLS[1:]))


def test_the_command_writes_the_page_and_checks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conformance, "PAGE", tmp_path / "conformance.md")
    record = tmp_path / "record.json"
    record.write_text(json.dumps(CELLS))
    assert conformance.main(record, ["--check"]) == 1
    assert conformance.main(record, []) == 0
    assert conformance.main(record, ["--check"]) == 0
    record.write_text(json.dumps(FAILED))
    assert conformance.main(record, []) == 1
    assert conformance.main(tmp_path / "nowhere.json", ["--check"]) == 1


def test_the_committed_page_leaves_no_cell_empty() -> None:
    rows = [line for line in conformance.PAGE.read_text("utf-8").splitlines() if line.startswith("|")]
    assert len(rows) > 3 * 10
    assert [row for row in rows if "|  |" in row.removeprefix("|  |")] == []
