"""What the short runs of faults in the tests have in common."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.rig.waiting import MissingProgramError

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = int(os.environ.get("SEED", "41"))


def carried_out(run: Callable[[Any], Any], wish: Any) -> Any:
    """Run what is wished, print the account and return it when it is a good one with every fault in it."""
    try:
        report = run(wish)
    except MissingProgramError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    print("\n".join(report.lines()))
    assert report.good, "\n".join(report.lines())
    assert sum(counter.total() for counter in report.faults.values()) + report.missed == wish.faults
    return report
