"""Whether a worker lives and whether it can do its work: decisions only, no input or output.

The main loop of ``publish`` and ``subscribe`` beats and reports what it needs; ``server.py`` answers the probes with
it. Liveness knows nothing of the broker or the database: restarting a worker does not repair them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Longer than the longest pause of a healthy loop: a batch that waits out its receipts, a broker that does not answer.
DEFAULT_MAX_BEAT_AGE = 120.0


@dataclass(frozen=True)
class Check:
    """One thing the worker needs: whether it has it, and if not, why."""

    ok: bool
    reason: str


@dataclass(frozen=True)
class Verdict:
    """The answer to a probe, with a reason for each thing that was looked at."""

    ok: bool
    checks: dict[str, Check]

    @property
    def reasons(self) -> dict[str, str]:
        """Return why the answer is no, by check; empty when it is yes."""
        return {name: check.reason for name, check in self.checks.items() if not check.ok}


class Health:
    """What the worker knows about itself; safe to use from any thread.

    ``needs`` names the checks that must have been reported good before the worker is ready. ``max_beat_age`` is the age
    in seconds at which a silent loop counts as hung. Times are of ``time.monotonic``.
    """

    def __init__(
        self, role: str, needs: Iterable[str] = (), max_beat_age: float = DEFAULT_MAX_BEAT_AGE, now: float | None = None
    ) -> None:
        self.role = role
        self.max_beat_age = max_beat_age
        self._beat_at = time.monotonic() if now is None else now
        self._checks = {name: Check(ok=False, reason="not reported yet") for name in needs}
        self._lock = threading.Lock()

    def beat(self, now: float | None = None) -> None:
        """Say that the main loop goes round."""
        self._beat_at = time.monotonic() if now is None else now

    def set_ready(self, name: str, ok: bool, reason: str = "") -> None:
        """Report one thing the worker needs; ``reason`` is for people and must hold no secret."""
        with self._lock:
            self._checks[name] = Check(ok=ok, reason=reason)

    def is_good(self, name: str) -> bool:
        """Tell what was reported last of one thing; what was never reported and is not needed counts as good."""
        with self._lock:
            check = self._checks.get(name)
        return check is None or check.ok

    def live(self, now: float | None = None) -> Verdict:
        """Tell whether the main loop still goes round."""
        age = (time.monotonic() if now is None else now) - self._beat_at
        ok = age < self.max_beat_age
        reason = f"the main loop last went round {age:.1f} s ago, the limit is {self.max_beat_age:.0f} s"
        return Verdict(ok=ok, checks={"loop": Check(ok=ok, reason=reason)})

    def ready(self, now: float | None = None) -> Verdict:
        """Tell whether the worker can do its work now: it lives and every check is good."""
        with self._lock:
            checks = dict(self._checks)
        checks |= self.live(now).checks
        return Verdict(ok=all(check.ok for check in checks.values()), checks=checks)
