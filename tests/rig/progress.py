"""Progress on standard error, one plain line a step with the time since the start; safe from several threads."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STARTED = time.monotonic()


def say(message: str) -> None:
    """Print one line headed by the seconds since this program started."""
    sys.stderr.write(f"[{time.monotonic() - _STARTED:6.1f}s] {message}\n")
    sys.stderr.flush()


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a long step, and its duration when it ended well."""
    say(f"{name} ...")
    begun = time.monotonic()
    yield
    say(f"{name}: done in {time.monotonic() - begun:.1f} s")
