"""Waits with deadlines that explain themselves; every part of the rig that waits for something uses these."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


class RigError(Exception):
    """Root of the rig's errors; the message says what to do next."""


class RigTimeoutError(RigError):
    """A condition did not come true before its deadline; the message holds the last known state."""


class MissingProgramError(RigError):
    """A program that the rig runs is not installed."""


def wait_until(
    what: str,
    condition: Callable[[], T | None],
    *,
    seconds: float,
    state: Callable[[], str] | None = None,
    every: float = 0.1,
) -> T:
    """Call `condition` until it returns something true, and return that.

    An `OSError` from the condition means "not yet". Raises RigTimeoutError after `seconds`, with `state()` as the
    evidence. Any other exception passes through, so a condition can also end the wait early.
    """
    deadline = time.monotonic() + seconds
    last_error: OSError | None = None
    while True:
        try:
            if result := condition():
                return result
        except OSError as error:
            last_error = error
        if time.monotonic() >= deadline:
            evidence = [f"{what}: not so after {seconds:g} s"]
            if last_error is not None:
                evidence.append(f"last error: {last_error!r}")
            if state is not None:
                evidence.append(state())
            raise RigTimeoutError("\n".join(evidence))
        time.sleep(every)


def tail(path: Path, lines: int = 25) -> str:
    """The end of a log, headed by its path."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return f"--- {path}: {error.strerror}"
    kept = "\n".join(text.splitlines()[-lines:])
    return f"--- {path} (last {lines} lines)\n{kept}"
