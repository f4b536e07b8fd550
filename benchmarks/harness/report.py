"""The table: a line for each figure with its median and range, and beside it what it has to be."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.harness.scenario import Outcome

_HEAD = ("what", "figure", "median", "min – max", "runs", "ratio or value", "target", "")
_VERDICT = {True: "met", False: "NOT MET", None: "not measured"}


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the table as Markdown, aligned for people who read it in a terminal."""
    rows = [_HEAD, *(row for outcome in outcomes for row in _rows(outcome))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _rows(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    scenario, title = outcome.scenario, outcome.scenario.title
    for figure, values in outcome.samples.items():
        targets = [target for target in scenario.targets if target.figure == figure]
        spread = f"{number(min(values))} – {number(max(values))}"
        unit = "" if figure.endswith(")") else f" {scenario.unit}"
        cells = (figure, number(median(values)) + unit, spread, str(len(values)))
        for target in targets or [None]:
            if target is None:
                yield (title, *cells, "", "", "")
            else:
                value = target.value(outcome.samples)
                shown = "" if value is None else f"{value:.2f}" + ("" if target.over is None else " ×")
                yield (title, *cells, shown, target.in_words(), _VERDICT[target.is_met(outcome.samples)])
            title, cells = "", ("", "", "", "")
        title = ""


def number(value: float) -> str:
    """Return a figure with as many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
