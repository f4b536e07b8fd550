"""`python -m tests.chaos.operator`, which `make chaos-operator` calls: one run, its account, and an exit code."""

from __future__ import annotations

import argparse
import sys
from random import SystemRandom

from tests.chaos.operator.run import Wish, run
from tests.chaos.verdict import conclude


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
    return conclude(lambda: run(_wish()), "chaos-operator")


if __name__ == "__main__":
    sys.exit(main())
