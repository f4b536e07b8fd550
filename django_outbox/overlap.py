"""What a publisher does while a batch is on the wire: it settles the batch before and claims the one after.

Neither the broker nor the database then waits for the other. A batch that is confirmed and not yet settled is sent
again when the publisher dies at that moment, as one on the wire is. ``relay.py`` decides when; here is only what is
kept meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from django_outbox.store import Claim, ClaimedRow
    from django_outbox.transport.base import SendReport

    Sent = tuple[Claim, Sequence[ClaimedRow], SendReport]


@dataclass
class Overlap:
    """At most one batch that is still to be settled, and one that is claimed ahead.

    A claim ahead that is older than ``fresh`` seconds is given back: its lease is for the sending.
    """

    settle: Callable[[Claim, Sequence[ClaimedRow], SendReport], None]
    give_back: Callable[[Claim], None]
    fresh: float
    is_on: bool = False
    _earlier: Sent | None = field(default=None, init=False)
    _ahead: tuple[Claim, float] | None = field(default=None, init=False)

    def put_off(self, claim: Claim, rows: Sequence[ClaimedRow], report: SendReport) -> None:
        """Keep a batch that is confirmed, to be settled while the next is on the wire."""
        self.catch_up()
        self._earlier = (claim, rows, report)

    def catch_up(self) -> None:
        """Settle what was put off."""
        if self._earlier is not None:
            earlier, self._earlier = self._earlier, None
            self.settle(*earlier)

    def keep(self, claim: Claim) -> None:
        """Keep a claim for the next batch."""
        self._ahead = (claim, time.monotonic())

    def take(self) -> Claim | None:
        """Return the claim that was kept, None when there is none or it is too old."""
        if self._ahead is not None and time.monotonic() - self._ahead[1] > self.fresh:
            self.let_go()
        ahead, self._ahead = self._ahead, None
        return None if ahead is None else ahead[0]

    def let_go(self) -> None:
        """Give back the claim that was kept, for any publisher to take."""
        if self._ahead is not None:
            (claim, _), self._ahead = self._ahead, None
            self.give_back(claim)

    def end(self) -> None:
        """Leave nothing behind: give back what is ahead, settle what was put off."""
        self.let_go()
        self.catch_up()
