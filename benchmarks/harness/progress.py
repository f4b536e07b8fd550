"""The pace of something that other processes do, watched from outside: between the first and the last of it.

The start of a process, its imports and its log-in are not part of any rate.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.rig.waiting import RigTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_SECONDS = 0.02


def rate(
    what: str,
    done: Callable[[], int],
    total: int,
    *,
    seconds: float = 600,
    at_first: Callable[[int], object] = lambda _count: None,
) -> float:
    """Return how many a second, from the first look that shows any to the one that shows all ``total``.

    ``at_first`` is called at the first of these looks with how many there were.
    """
    deadline = time.monotonic() + seconds
    first = 0
    began = 0.0
    while True:
        count, now = done(), time.monotonic()
        if count and not first:
            first, began = count, now
            at_first(count)
        if count >= total:
            if first >= total:
                raise RigTimeoutError(f"{what}: all {total} were done between two looks, take more of them")
            return (total - first) / (now - began)
        if now > deadline:
            raise RigTimeoutError(f"{what}: {count} of {total} after {seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)
