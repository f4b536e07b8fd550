"""How a process and a wire are broken and healed, for every run of faults. `faults` and `operator/faults` call it."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from tests.chaos.plan import Kind
from tests.rig.proxy import Ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.plan import Fault
    from tests.chaos.processes import Process
    from tests.rig.proxy import Door, Proxy


def break_process(process: Process, fault: Fault) -> None:
    """End a process, or have it stand still for the time of the fault."""
    if fault.kind is Kind.KILL:
        process.signal(signal.SIGKILL)
    elif fault.kind is Kind.RESTART:
        process.signal(signal.SIGTERM)
    else:
        process.freeze(fault.seconds)


def break_wire(proxy: Proxy, doors: Sequence[Door], fault: Fault, slowness: float) -> None:
    """Do to all these doors what the fault says; ``slowness`` is what a slow one costs each piece, in seconds."""
    if fault.kind is Kind.CUT:
        for door in doors:
            proxy.cut(door)
    elif fault.kind is Kind.STALL:
        for door in doors:
            proxy.hold(door, requests=fault.detail != "answers", answers=fault.detail != "requests")
        time.sleep(fault.seconds)
        for door in doors:
            proxy.hold(door, requests=False, answers=False)
    elif fault.kind is Kind.SLOW:
        for door in doors:
            proxy.delay(door, slowness)
        time.sleep(fault.seconds)
        for door in doors:
            proxy.delay(door, 0.0)
    else:
        dead = [proxy.half_open(door, Ends(fault.detail)) for door in doors]
        time.sleep(fault.seconds)
        for pairs in dead:
            proxy.bury(pairs)
