"""`python -m benchmarks.operator`, which `make bench-operator` calls: measure, print a table, hold it to targets."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from benchmarks.operator.results import failures, medians, save, table
from benchmarks.operator.scenario import Measured, Wish, run
from tests.cluster.operator_process import Cluster
from tests.rig import ApiServer, RigError
from tests.rig.paths import state_directory

CRDS: Final = Path(__file__).parents[2] / "crds"


def main() -> int:
    """Measure; exit code 0 when every target is met, 1 otherwise."""
    # As with Ctrl-C: nothing that was started stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    arguments = _arguments()
    wish = Wish(arguments.resources, arguments.edits, arguments.idle, arguments.seed)
    folder = state_directory() / "bench-operator"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        runs = [_run(folder, wish, number) for number in range(1, arguments.runs + 1)]
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"\n{table(wish, runs)}\n")
    save(arguments.json or folder / "results.json", wish, runs)
    missed = failures(medians(runs))
    for line in missed:
        print(f"missed: {line}")
    return int(bool(missed))


def _run(folder: Path, wish: Wish, number: int) -> Measured:
    """Measure on an API server of the run's own, so that no run has the objects of another in its database."""
    print(f"run {number}", flush=True)
    with ApiServer(crds=(CRDS,)) as server:
        return asyncio.run(run(Cluster(server), folder, wish, number))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--resources", type=int, default=1000)
    parser.add_argument("--edits", type=int, default=300)
    parser.add_argument("--idle", type=float, default=120, help="seconds of idleness to look at")
    parser.add_argument("--seed", type=int, default=1, help="which Deployments are edited")
    parser.add_argument("--json", type=Path, help="where to write the results")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
