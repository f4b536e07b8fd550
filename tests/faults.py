"""Faults that tests put into real servers."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


class HasProcess(Protocol):
    """A server whose process can be signalled."""

    @property
    def pid(self) -> int | None:
        """The id of its process, None when it does not run."""


@contextmanager
def frozen(broker: HasProcess) -> Iterator[None]:
    """Stop the broker's process where it stands: connections stay open and nothing is answered."""
    pid = broker.pid
    assert pid is not None, "the broker does not run"
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until("the broker stands still", lambda: _thread_states(pid) == {"T"}, seconds=10, every=0.01)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _thread_states(pid: int) -> set[str]:
    stats = Path(f"/proc/{pid}/task").glob("*/stat")
    return {stat.read_text().rpartition(")")[2].split()[0] for stat in stats}
