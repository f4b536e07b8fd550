"""What failed, in few lines: read from the junit report that each group of `make test` leaves in `.rig/`.

`tests/all.py` prints it at its very end, because a log that is cut keeps its end only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from pathlib import Path

LINE_LENGTH = 300
LINES = 40


def recap(report: Path) -> list[str]:
    """Return a line for each test of `report` that failed, with the first line of its error."""
    try:
        cases = ET.parse(report).iter("testcase")
    except (OSError, ET.ParseError) as error:
        return [f"pytest left no report, it was killed or could not start: {error}"]
    lines = [
        f"{_id_of(case)} - {_first_line(problem)}"[:LINE_LENGTH]
        for case in cases
        for problem in case
        if problem.tag in ("failure", "error")
    ]
    left_out = len(lines) - LINES
    return [*lines[:LINES], *([f"and {left_out} more"] if left_out > 0 else [])]


def _id_of(case: ET.Element) -> str:
    path = case.get("file") or case.get("classname", "").replace(".", "/")
    return "::".join(part for part in (path, case.get("name")) if part)


def _first_line(problem: ET.Element) -> str:
    """Return what was raised; a report calls every failed collection the same, so that is looked up in its text."""
    message = problem.get("message", "")
    raised = [line[1:] for line in (problem.text or "").splitlines() if line.startswith("E  ")]
    said = message if message != "collection failure" else "\n".join(raised[-1:]) or problem.text or message
    return next((line.strip() for line in said.splitlines() if line.strip()), "without a message")
