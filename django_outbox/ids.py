"""Ids for new rows: UUID version 7, so that they sort by the time they were made.

Random ids scatter over an index; these append to it. Called by the models as the default of their primary keys.
"""

from __future__ import annotations

import os
import random
import threading
import time
import uuid

# Nobody may guess its numbers from a seed of the project's, nor share them with a process that was forked off.
_random = random.Random(os.urandom(32))  # noqa: S311
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _random.seed(os.urandom(32)))

_lock = threading.Lock()
_last_tick = 0


def uuid7() -> uuid.UUID:
    """Return a new id, greater than every id this process made before.

    The first 60 bits are the time in units of 2**-12 ms, counted on when the clock stands still or goes back; the rest
    is random, so two processes never meet.
    """
    global _last_tick  # noqa: PLW0603 - the counter is the process's, not an object's
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    tick = milliseconds << 12 | (rest << 12) // 1_000_000
    with _lock:
        tick = _last_tick = max(tick, _last_tick + 1)
    value = (tick >> 12) << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | _random.getrandbits(62)
    return uuid.UUID(int=value)


def uuid4() -> uuid.UUID:
    """Return a random id for what is no secret, without asking the kernel each time."""
    return uuid.UUID(int=_random.getrandbits(128), version=4)
