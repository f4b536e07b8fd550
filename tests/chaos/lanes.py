"""Carries a plan out: one thread a lane, so faults of different lanes meet and those of one follow each other."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.chaos.plan import Fault

JOIN_SECONDS = 240
# What a server works at least between two faults.
BREATHER_SECONDS = 5
# A worker that has just been killed is given so long to come back before a fault finds nobody to happen to.
VICTIM_SECONDS = 15


class NobodyThereError(Exception):
    """A fault's victim did not run or had no connection: nothing was broken, and nothing is counted."""


class Lanes:
    """A plan under way.

    ``done`` are the faults carried out, ``missed`` those that found nobody there, ``trouble`` is what the rig could
    not do.
    """

    breathers: frozenset[str] = frozenset()
    """Lanes whose target works for a while between two faults."""

    def __init__(self, plan: Sequence[Fault], folder: Path) -> None:
        self.plan = plan
        self.done: list[Fault] = []
        self.missed: list[Fault] = []
        self.trouble: list[str] = []
        self.under_way: set[str] = set()
        self.last_end = 0.0
        self._began = 0.0
        self._stop = threading.Event()
        self._log = (folder / "faults.log").open("a")
        lanes = sorted({fault.lane for fault in plan})
        self._threads = [
            threading.Thread(target=self._run, args=([f for f in plan if f.lane == lane],), name=lane, daemon=True)
            for lane in lanes
        ]

    def start(self) -> None:
        """Begin; the plan's times count from now."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def finished(self) -> bool:
        """Whether every fault is over and healed."""
        return not any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        """Begin no further fault and wait for those under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
        self._log.close()

    def counts(self) -> dict[str, Counter[str]]:
        """How many of each kind were done to each group of targets."""
        found: dict[str, Counter[str]] = {}
        for fault in list(self.done):
            found.setdefault(fault.name, Counter())[fault.kind.value] += 1
        return found

    def _run(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            if self._stop.wait(max(0.0, self._began + fault.at - time.monotonic())):
                return
            self.under_way.add(str(fault))
            self._note("begins", fault)
            try:
                self.apply(fault)
                self.done.append(fault)
            except NobodyThereError:
                self.missed.append(fault)
                self._note("found nobody there", fault)
            except Exception as error:
                self.trouble.append(f"{fault}: {error!r}")
                self._note(f"FAILED with {error!r}", fault)
                return
            finally:
                self.under_way.discard(str(fault))
                self.last_end = time.monotonic()
                self._note("is over", fault)
            if fault.lane in self.breathers:
                # On a slow machine the next is due before this one is over: then nothing would ever work.
                self._stop.wait(BREATHER_SECONDS)

    def _note(self, what: str, fault: Fault) -> None:
        now = time.strftime("%H:%M:%S", time.localtime()) + f".{time.time() % 1 * 1000:03.0f}"
        self._log.write(f"{now} {time.monotonic() - self._began:8.2f} {fault} {what}\n")
        self._log.flush()

    def apply(self, fault: Fault) -> None:
        """Carry one fault out and return when it is healed; raises NobodyThereError when nothing was broken."""
        raise NotImplementedError

    def await_victim(self, is_there: Callable[[], object]) -> None:
        """Wait until there is somebody for a fault to happen to."""
        deadline = time.monotonic() + VICTIM_SECONDS
        while not is_there():
            if time.monotonic() >= deadline or self._stop.wait(0.1):
                raise NobodyThereError


def freeze(pids: Sequence[int], seconds: float) -> None:
    """Stop processes for a while."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
