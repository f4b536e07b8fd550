"""`python -m tests.chaos.operator`, which `make chaos-operator` calls: one run, its account, and an exit code."""

from __future__ import annotations

import argparse
import signal
import sys
from random import SystemRandom

from tests.chaos.operator.run import Wish, run
from tests.rig import RigError
from tests.rig.paths import state_directory


def _wish() -> Wish:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.operator", description=__doc__)
    parser.add_argument("--seed", type=int, help="what the plan is made of (default: any)")
    parser.add_argument("--minutes", type=float, default=30, help="the time that the faults are spread over")
    parser.add_argument("--faults", type=int, help="faults and changes (default: 40 a minute)")
    parser.add_argument("--resources", type=int, default=30)
    parser.add_argument("--settle", type=float, default=180, help="seconds until everything must be right again")
    chosen = parser.parse_args()
    return Wish(
        seed=SystemRandom().randrange(1_000_000) if chosen.seed is None else chosen.seed,
        faults=round(40 * chosen.minutes) if chosen.faults is None else chosen.faults,
        seconds=chosen.minutes * 60,
        resources=chosen.resources,
        settle=chosen.settle,
    )


def main() -> int:
    """Run; exit code 0 when the cluster is what the resources say and only one replica wrote, 1 otherwise."""
    # As with Ctrl-C: nothing that was started stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        report = run(_wish())
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(["", *report.lines(), ""]))
    if not report.good:
        print(f"The promise was not kept; logs are in {state_directory() / 'chaos-operator'}", file=sys.stderr)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
