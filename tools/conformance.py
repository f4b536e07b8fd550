"""Make docs/conformance.md of what the tests showed: feature by broker by database, each cell a test that passed.

``python -m tools.conformance`` writes the page after a run of tests/integration/conformance; ``--check`` fails when the
committed page says anything else than the run: a cell that failed, did not run, or is not on the page. `make test` does
the latter at the end of a whole run.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"

BROKERS = {
    "rabbitmq": "RabbitMQ, classic queues",
    "rabbitmq-quorum": "RabbitMQ, quorum queues",
    "activemq": "ActiveMQ Classic",
    "artemis": "Artemis",
}
DATABASES = {"postgres": "PostgreSQL", "mariadb": "MariaDB", "sqlite": "SQLite"}

_INTRODUCTION = """<!-- Made by `python -m tools.conformance` of what the tests showed. Do not edit. -->
# What works with what

Each cell is a test that ran on a real server of that kind, with the workers as processes; `make test` fails when a cell
of this page did not pass. The tests are in [tests/integration/conformance](../tests/integration/conformance).
"""


class Cell(TypedDict):
    """What one test showed in one place."""

    feature: str
    broker: str
    database: str
    says: str
    test: str
    outcome: str


def page(cells: list[Cell]) -> str:
    """Return the page; a cell that was not run is empty."""
    found = {(cell["feature"], cell["broker"], cell["database"]): cell["says"] for cell in cells}
    tests = {cell["feature"]: cell["test"] for cell in cells}
    features = sorted(tests, key=lambda feature: (tests[feature].partition("::")[0], feature))
    blocks = [_INTRODUCTION]
    for database, title in DATABASES.items():
        rows = [[feature, *(found.get((feature, broker, database), "") for broker in BROKERS)] for feature in features]
        blocks.append(f"## With {title}\n\n{_table(['', *BROKERS.values()], rows)}")
    rows = [[feature, f"`{tests[feature].rpartition('/')[2]}`"] for feature in features]
    blocks.append(f"## The tests\n\n{_table(['', 'test'], rows)}")
    return "\n".join(blocks)


def _table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def problems(cells: list[Cell], committed: str) -> list[str]:
    """Return what the committed page says that the tests did not show, or does not say that they did."""
    bad = [
        f"{cell['outcome']}: {cell['feature']}, {cell['broker']} with {cell['database']}"
        for cell in cells
        if cell["outcome"] != "passed"
    ]
    if bad:
        return bad
    wanted = page(cells)
    lines, shown = committed.splitlines(), wanted.splitlines()
    return [
        *(f"on the page, but not shown by the tests: {line}" for line in lines if line not in shown),
        *(f"shown by the tests, but not on the page: {line}" for line in shown if line not in lines),
        *(["the page has these lines in another order"] if sorted(lines) == sorted(shown) and lines != shown else []),
    ]


def main(record: Path, arguments: list[str] | None = None) -> int:
    """Write the page, or check it; returns 1 when it cannot be as the tests showed."""
    parser = argparse.ArgumentParser(prog="python -m tools.conformance", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when the page says anything else")
    check = parser.parse_args(arguments).check
    cells: list[Cell] = json.loads(record.read_text()) if record.exists() else []
    committed = PAGE.read_text("utf-8") if PAGE.exists() else ""
    found = problems(cells, committed if check else page(cells))
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print(f"{PAGE.name} and the tests differ; see python -m tools.conformance --help", file=sys.stderr)
        return 1
    if not check:
        PAGE.write_text(page(cells), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(ROOT / ".rig" / "conformance.json"))
