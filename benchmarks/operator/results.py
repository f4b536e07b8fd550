"""Medians of several runs, held against the targets, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.operator.scenario import Measured, Wish


@dataclass(frozen=True)
class Row:
    """One figure: its name in a run, in words, its unit, and what it may be at most (None: for information)."""

    name: str
    words: str
    unit: str
    limit: float | None = None


ROWS: Final = (
    Row("plain", "the same Deployments created by a plain client", "s"),
    Row("cold_working", "cold start: from its first moment of work to the last Deployment", "s"),
    Row("cold_ratio", "the same, compared with the plain client", "times", 1.5),
    Row("cold", "the same with the start of the process", "s"),
    Row("applied", "burst: the Subscriptions created by a plain client", "s"),
    Row("burst", "burst: from the first Subscription to the last Deployment", "s"),
    Row("burst_ratio", "the same, compared with the plain client", "times"),
    Row("ready", "from workers that run to the last status that says so", "s"),
    Row("requests_per_resource", "requests for a new resource, until it is ready", ""),
    Row("memory", "resident memory", "MiB", 150),
    Row("memory_peak", "resident memory, its peak", "MiB", 150),
    Row("idle_writes", "idle: writes", "", 0),
    Row("idle_cpu_percent", "idle: processor", "% of a core", 1),
    Row("idle_requests_per_minute", "idle: requests a minute", ""),
    Row("edit_median", "an edited Deployment is put back: median", "s"),
    Row("edit_p99", "an edited Deployment is put back: p99", "s", 1),
    Row("edit_worst", "an edited Deployment is put back: worst", "s"),
    Row("restart_seconds", "restart: until every resource has been looked at", "s"),
    Row("restart_writes", "restart: writes", "", 0),
)


def medians(runs: Sequence[Measured]) -> dict[str, float]:
    """Return the median of each figure; of those that must be 0 the worst."""
    found = [run.as_dict() for run in runs]
    return {row.name: (max if row.limit == 0 else median)(each[row.name] for each in found) for row in ROWS}


def failures(figures: dict[str, float]) -> list[str]:
    """Return what misses its target."""
    return [
        f"{row.words}: {_number(figures[row.name])} {row.unit}, wanted at most {row.limit:g}"
        for row in ROWS
        if row.limit is not None and figures[row.name] > row.limit
    ]


def table(wish: Wish, runs: Sequence[Measured]) -> str:
    """Return the figures as a Markdown table."""
    figures = medians(runs)
    lines = [
        f"{wish.resources:,} Subscriptions, median of {len(runs)} runs, {machine()}",
        "",
        "| what | figure | target |",
        "|---|---|---|",
    ]
    for row in ROWS:
        target = "" if row.limit is None else f"≤ {row.limit:g}"
        lines.append(f"| {row.words} | {_number(figures[row.name])} {row.unit} | {target} |")
    return "\n".join(lines)


def save(path: Path, wish: Wish, runs: Sequence[Measured]) -> None:
    """Write everything that was measured as JSON."""
    found: dict[str, Any] = {
        "machine": machine(),
        "resources": wish.resources,
        "edits": wish.edits,
        "idle_seconds": wish.idle_seconds,
        "seed": wish.seed,
        "medians": medians(runs),
        "runs": [run.as_dict() for run in runs],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=2) + "\n")


def machine() -> str:
    """Return what the figures were measured on, in words."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory / 1024**2:.0f} GiB, {python}"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _number(value: float) -> str:
    if value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
