"""When a row that the broker refused is sent again: a decision, without input or output.

The first failures are tried again at once, then the row rests for a long pause, then it is tried at an even pace until
it has failed as often as it may. ``bookkeeping.py`` asks; ``store`` writes the answer on the row, so it outlives the
process. A broker that is down counts as no failure of any row.
"""

from __future__ import annotations

from dataclasses import dataclass

from django_outbox import settings

QUICK_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The schedule: ``maximum`` failed sends in all; ``pause`` and ``wait`` in seconds."""

    maximum: int
    pause: float
    wait: float

    @classmethod
    def from_settings(cls) -> RetryPolicy:
        """Return the schedule that the settings ask for."""
        return cls(
            maximum=settings.DEFAULT_MAXIMUM_RETRY_ATTEMPTS,
            pause=settings.DEFAULT_PAUSE_FOR_RETRY,
            wait=settings.DEFAULT_WAIT_RETRY,
        )

    def seconds_until_next(self, failures: int) -> float | None:
        """Return how long a row rests after its ``failures``-th failed send, None when it is to be parked as FAILED."""
        if failures >= self.maximum:
            return None
        if failures < QUICK_ATTEMPTS:
            return 0.0
        return self.pause if failures == QUICK_ATTEMPTS else self.wait
