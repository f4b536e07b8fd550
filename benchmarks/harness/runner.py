"""Takes the measures of scenarios in turn, so that whatever the machine does meanwhile happens to all of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.harness.report import number
from benchmarks.harness.scenario import Outcome

if TYPE_CHECKING:
    from benchmarks.harness.scenario import Scale, Scenario
    from benchmarks.harness.stage import Stage


def run(name: str, scenario: Scenario, on: Stage, scale: Scale, runs: int) -> Outcome:
    """Measure a scenario ``runs`` times, saying so as it goes."""
    outcome = Outcome(name, scenario)
    print(f"{name}: {scenario.title}", flush=True)
    if scenario.prepare is not None:
        scenario.prepare(on, scale)
    for turn in range(1, runs + 1):
        for measure in scenario.measures.values():
            began = time.monotonic()
            figures = measure(on, scale)
            outcome.add(figures)
            shown = ", ".join(f"{figure} {number(value)}" for figure, value in figures.items())
            print(f"  {turn}/{runs}  {shown}  ({time.monotonic() - began:.1f} s)", flush=True)
    return outcome
