"""How many rows go on the wire together: fewer after a loss that nobody explained, more after each success.

A broker that closes the connection does not always say which message it disliked. Halving the batch with each loss
corners the one row that causes it; once it is alone, the loss is its own doing. Pure; ``relay.py`` asks and reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from django_outbox.transport.base import Unsettled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from django_outbox.store import ClaimedRow
    from django_outbox.transport.base import SendReport

_REMEMBERED = 1000


class Verdict(Enum):
    """What to do with the rows of a batch that were not answered."""

    RELEASE = auto()
    """Send them again at once; nothing speaks against them."""
    CHARGE = auto()
    """Count a failed send: it was their doing."""
    DEFER = auto()
    """Let others go first, and count nothing: it may have been the broker."""


@dataclass
class Isolation:
    """The state of the hunt. ``batch_size`` is the most that may go together, ``limit`` what may now."""

    batch_size: int
    limit: int = 0
    _confirmed: int = 0
    # For a row that met silence alone: how many others had been confirmed by then.
    _silent_since: dict[UUID, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limit = self.batch_size

    def judge(self, sent: Sequence[ClaimedRow], report: SendReport) -> Verdict:
        """Learn from a batch and say what its unanswered rows deserve."""
        self._confirmed += len(report.confirmed)
        if not sent or report.blocked:
            # Nothing went out, or into a broker that takes nothing from anybody: nothing is learnt.
            return Verdict.RELEASE
        if report.unsettled is None:
            self.limit = min(self.batch_size, self.limit * 2)
            return Verdict.RELEASE
        if report.refused:
            # The broker named the culprit; the others only shared its connection.
            return Verdict.RELEASE
        if report.unsettled is Unsettled.TIMEOUT:
            return self._judge_silence(sent, report)
        if is_suspect(sent):
            return Verdict.CHARGE
        alone = self.limit == 1
        self._narrow(len(sent))
        return Verdict.CHARGE if alone else Verdict.RELEASE

    def _judge_silence(self, sent: Sequence[ClaimedRow], report: SendReport) -> Verdict:
        """No answer while the connection stands: the rows' doing only if the broker answered about others."""
        if report.confirmed:
            return Verdict.CHARGE
        if not is_suspect(sent):
            self._narrow(len(sent))
        if len(sent) > 1:
            return Verdict.RELEASE
        seen_at = self._silent_since.pop(sent[0].id, None)
        if seen_at is not None and self._confirmed > seen_at:
            return Verdict.CHARGE
        if len(self._silent_since) >= _REMEMBERED:
            self._silent_since.clear()
        self._silent_since[sent[0].id] = self._confirmed
        return Verdict.DEFER

    def _narrow(self, sent: int) -> None:
        self.limit = max(1, min(self.limit, sent) // 2)


def is_suspect(rows: Sequence[ClaimedRow]) -> bool:
    """Tell whether this is one row that has failed before."""
    return len(rows) == 1 and rows[0].retry > 0
