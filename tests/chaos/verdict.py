"""What a run of faults ends with on the command line: its account, where its logs are, and an exit code."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Protocol

from tests.rig.paths import state_directory
from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from collections.abc import Callable


class Account(Protocol):
    """What a run found."""

    @property
    def good(self) -> bool:
        """Whether the promise was kept."""

    def lines(self) -> list[str]:
        """Return the account in words."""


def conclude(run: Callable[[], Account], evidence: str) -> int:
    """Run, print the account, and return 0 when it is good, 1 otherwise; ``evidence`` is the folder of what is left."""
    # As with Ctrl-C: nothing that was started stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        report = run()
    except RigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n".join(["", *report.lines(), ""]))
    if not report.good:
        print(f"The promise was not kept; what is left of it is in {state_directory() / evidence}", file=sys.stderr)
    return 0 if report.good else 1
