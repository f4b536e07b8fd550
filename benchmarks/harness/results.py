"""Results as JSON: every sample, so that whoever doubts a median can make another."""

from __future__ import annotations

import json
import os
import platform
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.harness.scenario import Outcome, Scale


def write(outcomes: Sequence[Outcome], folder: Path, scale: Scale) -> None:
    """Write one file for each scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    for outcome in outcomes:
        text = json.dumps(as_json(outcome, scale), indent=2, ensure_ascii=False)
        (folder / f"{outcome.name}.json").write_text(text + "\n")


def as_json(outcome: Outcome, scale: Scale) -> dict[str, Any]:
    """Return a scenario's outcome with what is needed to read it."""
    scenario = outcome.scenario
    return {
        "scenario": outcome.name,
        "title": scenario.title,
        "unit": scenario.unit,
        "scale": scale.factor,
        "machine": {"processors": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()},
        "figures": {
            figure: {"median": median(values), "min": min(values), "max": max(values), "samples": values}
            for figure, values in outcome.samples.items()
        },
        "targets": [
            {"target": target.in_words(), "figure": target.figure, "is": target.value(outcome.samples)}
            | {"met": target.is_met(outcome.samples)}
            for target in scenario.targets
        ],
    }


def read(folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what was written of these scenarios, in their order."""
    files = [folder / f"{name}.json" for name in names]
    return [json.loads(file.read_text()) for file in files if file.exists()]
