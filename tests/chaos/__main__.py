"""`python -m tests.chaos`, which `make chaos` calls: one run of the fault ledger, its account, and an exit code."""

from __future__ import annotations

import argparse
import sys
from random import SystemRandom

from tests.chaos.run import Wish, run
from tests.chaos.stage import ours, peer
from tests.chaos.verdict import conclude


def _wish() -> Wish:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="what the fault plan is made of (default: any)")
    parser.add_argument("--brokers", type=int, choices=[1, 3], default=1, help="1, or 3 with quorum queues")
    parser.add_argument("--faults", type=int, default=340)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=540, help="the time that the faults are spread over")
    parser.add_argument(
        "--settle", type=float, default=120, help="a message is stuck so long after the last fault and the last arrival"
    )
    parser.add_argument(
        "--fails",
        type=int,
        help="of so many messages one fails at its first try (default: 100; the peer has no retries)",
    )
    parser.add_argument("--peer", action="store_true", help="put django-outbox-pattern to the same test")
    chosen = parser.parse_args()
    return Wish(
        library=peer() if chosen.peer else ours(),
        brokers=chosen.brokers,
        seed=SystemRandom().randrange(1_000_000) if chosen.seed is None else chosen.seed,
        faults=chosen.faults,
        messages=chosen.messages,
        seconds=chosen.seconds,
        settle=chosen.settle,
        fails=(0 if chosen.peer else 100) if chosen.fails is None else chosen.fails,
    )


def main() -> int:
    """Run; exit code 0 when nothing was lost, doubled or stuck, 1 otherwise."""
    return conclude(lambda: run(_wish()), "chaos")


if __name__ == "__main__":
    sys.exit(main())
