"""``python -m benchmarks``: measure, print the table, write JSON and the picture. ``make bench`` calls it."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness import picture, results, runner
from benchmarks.harness.report import table
from benchmarks.harness.scenario import Outcome, Scale
from benchmarks.harness.stage import stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.harness.scenario import Scenario

# In the order of the table; each is a module of this package with a SCENARIO.
SCENARIOS = (
    "publish",
    "relays",
    "consume_defaults",
    "consume_write",
    "consume_batch",
    "receive",
    "enqueue",
    "enqueue_bulk",
    "commit",
    "latency",
    "idle",
    "finished",
    "growth",
)
RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; the exit code says only whether it ran, never how fast."""
    options = _parser().parse_args(arguments)
    names = options.only.split(",") if options.only else list(SCENARIOS)
    if unknown := set(names) - set(SCENARIOS):
        print(f"There is no scenario {', '.join(sorted(unknown))}. There are: {', '.join(SCENARIOS)}", file=sys.stderr)
        return 2
    scenarios: dict[str, Scenario] = {name: importlib.import_module(f"benchmarks.{name}").SCENARIO for name in names}
    outcomes: list[Outcome] = []
    try:
        with stage() as on:
            for name, scenario in scenarios.items():
                scale = Scale(scenario.quick if options.quick else options.scale)
                outcomes.append(runner.run(name, scenario, on, scale, 1 if options.quick else options.runs))
                if options.results:
                    results.write(outcomes[-1:], options.results, scale)
    finally:
        if outcomes:
            print(f"\n{table(outcomes)}", flush=True)
    if options.picture:
        options.picture.write_text(picture.draw(results.read(options.results or RESULTS, SCENARIOS)))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"some of: {','.join(SCENARIOS)}")
    parser.add_argument("--runs", type=int, default=5, help="times that each measure is taken (default: 5)")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the full number of messages (default: 1)")
    parser.add_argument("--quick", action="store_true", help="one small run of each: does the harness work?")
    parser.add_argument("--results", type=Path, help="folder for a JSON file of each scenario (default: none written)")
    parser.add_argument("--picture", type=Path, help="file for the picture of all results (default: none drawn)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
