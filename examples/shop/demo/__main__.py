"""`python -m examples.shop.demo` (`make demo`): the main job on a real cluster, ending with a table of what arrived.

Exit code 0 when every number is what it must be, 1 when one is not or something did not come up in time.
`--down` takes the demo, and the cluster if it is the rig's own, away again.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from examples.shop.demo import steps, tally, traffic
from examples.shop.demo.cluster import Cluster
from examples.shop.demo.waits import wait_for
from tests.rig import Rig
from tests.rig.progress import say
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from pathlib import Path

ORDERS = 200
OVER_HTTP = 10
ARRIVAL_SECONDS = 120


def main(arguments: list[str]) -> int:
    """Run the demo, or take it down."""
    options = _parser().parse_args(arguments)
    rig = Rig()
    try:
        if options.down:
            steps.take_down(Cluster(rig))
            return 0
        return demo(Cluster(rig))
    except RigError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1


def demo(cluster: Cluster) -> int:
    """Bring everything up, place the orders, wait for them, and compare the numbers."""
    begun = time.monotonic()
    steps.everything(cluster)
    before = traffic.ask_workers(cluster)
    newest = traffic.last_order(cluster)

    say(f"Placing {ORDERS} orders: {OVER_HTTP} over HTTP, the others by `manage.py place_orders`")
    traffic.place_over_http(cluster, OVER_HTTP)
    traffic.place_by_command(cluster, ORDERS - OVER_HTTP)
    say("Placed; waiting until each is billed")
    counts = _wait_for_arrival(cluster, newest)
    workers = _wait_for_empty_backlog(cluster)

    rows = tally.lines(ORDERS, counts, tally.since(before, workers))
    print(f"\n{tally.table(rows)}\n")
    took = time.monotonic() - begun
    print(f"from the first order to the last invoice {counts.seconds or 0:.1f} s, all in all {took:.1f} s\n")
    if not all(row.right for row in rows):
        print("A number is not what it must be.", file=sys.stderr)
        return 1
    print(_look_around(cluster.rig.kubeconfig))
    return 0


def _wait_for_arrival(cluster: Cluster, after: int) -> traffic.Counts:
    def arrived() -> traffic.Counts | None:
        counts = traffic.count(cluster, after)
        return counts if counts.arrived(ORDERS) else None

    return wait_for(cluster, f"all {ORDERS} orders are billed", arrived, seconds=ARRIVAL_SECONDS)


def _wait_for_empty_backlog(cluster: Cluster) -> traffic.WorkerCounts:
    """Scrape until the publisher says 0: it looks at its table every few seconds only."""

    def empty() -> traffic.WorkerCounts | None:
        workers = traffic.ask_workers(cluster)
        return workers if workers.backlog == 0 else None

    return wait_for(cluster, "the publisher's backlog is empty", empty, seconds=30)


def _look_around(kubeconfig: Path) -> str:
    users = os.environ.get("CLUSTER") == "current"
    path = os.path.relpath(kubeconfig, steps.ROOT)
    lines = [
        "Look around:",
        *([] if users else [f"  export KUBECONFIG={path}"]),
        "  kubectl get obpub,obsub,deployments,pods -n shop",
        f"  kubectl describe obsub {traffic.SUBSCRIPTION} -n shop",
        f"  kubectl logs -n shop deploy/{traffic.SUBSCRIPTION}-sub",
        "Take it down:",
        f"  {'CLUSTER=current ' if users else ''}make demo-down",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.shop.demo", description=__doc__)
    parser.add_argument("--down", action="store_true", help="take the demo and the rig's cluster down")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
