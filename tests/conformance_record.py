"""pytest plugin: write down what each test with the marker `conformance` showed, for docs/conformance.md.

The record is `.rig/conformance.json`, a list of cells. A run adds to it what it ran, so a part of the tests can be run
again; `tests/all.py` begins with none. `tools/conformance.py` makes the page of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.binaries import exclusively
from tests.rig.paths import state_directory

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_CELLS = pytest.StashKey[dict[tuple[str, str, str], dict[str, Any]]]()


def record() -> Path:
    """Where the cells are."""
    return state_directory() / "conformance.json"


def pytest_configure(config: pytest.Config) -> None:
    """Begin with nothing."""
    config.stash[_CELLS] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note how a test went; one that did not pass in each of its phases did not pass."""
    report = yield
    for mark in item.iter_markers("conformance"):
        feature, broker, database = mark.args
        cell = item.config.stash[_CELLS].setdefault(
            (feature, broker, database),
            {
                "feature": feature,
                "broker": broker,
                "database": database,
                "says": mark.kwargs.get("says", "yes"),
                "test": item.nodeid.partition("[")[0],
                "outcome": "passed",
            },
        )
        if report.outcome != "passed":
            cell["outcome"] = report.outcome
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Add the cells of this run to the record, in the place of those that it ran again."""
    cells = session.config.stash[_CELLS]
    if not cells:
        return
    path = record()
    with exclusively(path.with_suffix(".lock")):
        _add(path, cells)


def _add(path: Path, cells: dict[tuple[str, str, str], dict[str, Any]]) -> None:
    known = json.loads(path.read_text()) if path.exists() else []
    kept = {(cell["feature"], cell["broker"], cell["database"]): cell for cell in known}
    path.write_text(json.dumps([cell for _, cell in sorted({**kept, **cells}.items())], indent=1))
