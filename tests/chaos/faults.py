"""Carries a plan out: one thread a lane, so faults of different lanes meet and those of one follow each other."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from tests.chaos.plan import Fault, Kind
from tests.chaos.stage import QUEUE
from tests.rig.proxy import Ends
from tests.rig.rabbitmq_cluster import ClusterNode
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.chaos.stage import Stage
    from tests.rig.hostservices import RabbitMQ

# What a slow wire costs each piece of data, in seconds.
SLOWNESS = 0.08
REJOIN_SECONDS = 240
# What a server works at least between two faults.
BREATHER_SECONDS = 5
# A worker that has just been killed is given so long to come back before a fault finds nobody to happen to.
VICTIM_SECONDS = 15


class NobodyThereError(Exception):
    """A fault's victim did not run or had no connection: nothing was broken, and nothing is counted."""


class Faults:
    """A plan under way.

    ``done`` are the faults carried out, ``missed`` those that found nobody there, ``trouble`` is what the rig could
    not do.
    """

    def __init__(self, plan: Sequence[Fault], stage: Stage) -> None:
        self.plan = plan
        self.stage = stage
        self.done: list[Fault] = []
        self.missed: list[Fault] = []
        self.trouble: list[str] = []
        self.under_way: set[str] = set()
        self.last_end = 0.0
        self._began = 0.0
        self._stop = threading.Event()
        self._log = (stage.folder / "faults.log").open("a")
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
            thread.join(REJOIN_SECONDS)
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
                self._apply(fault)
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
            if fault.lane in ("broker", "database"):
                # On a slow machine the next is due before this one is over: then nothing would ever work.
                self._stop.wait(BREATHER_SECONDS)

    def _note(self, what: str, fault: Fault) -> None:
        now = time.strftime("%H:%M:%S", time.localtime()) + f".{time.time() % 1 * 1000:03.0f}"
        self._log.write(f"{now} {time.monotonic() - self._began:8.2f} {fault} {what}\n")
        self._log.flush()

    def _apply(self, fault: Fault) -> None:
        if fault.line:
            self._break_wire(fault)
        elif fault.lane == "broker":
            self._break_broker(fault)
        elif fault.lane == "database":
            self._break_database(fault)
        else:
            self._break_process(fault)

    def _break_process(self, fault: Fault) -> None:
        process = self.stage.processes[fault.target]
        self._await_victim(lambda: process.runs)
        if fault.kind is Kind.KILL:
            process.signal(signal.SIGKILL)
        elif fault.kind is Kind.RESTART:
            process.signal(signal.SIGTERM)
        else:
            process.freeze(fault.seconds)

    def _await_victim(self, is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + VICTIM_SECONDS
        while not is_there():
            if time.monotonic() >= deadline or self._stop.wait(0.1):
                raise NobodyThereError

    def _break_wire(self, fault: Fault) -> None:
        proxy, doors = self.stage.proxy, self.stage.doors[fault.target, fault.line]
        self._await_victim(lambda: any(door.pairs for door in doors))
        if fault.kind is Kind.CUT:
            for door in doors:
                proxy.cut(door)
        elif fault.kind is Kind.STALL:
            for door in doors:
                proxy.hold(door, requests=fault.detail != "answers", answers=fault.detail != "requests")
            time.sleep(fault.seconds)
            for door in doors:
                proxy.hold(door, requests=False, answers=False)
        elif fault.kind is Kind.SLOW:
            for door in doors:
                proxy.delay(door, SLOWNESS)
            time.sleep(fault.seconds)
            for door in doors:
                proxy.delay(door, 0.0)
        else:
            dead = [proxy.half_open(door, Ends(fault.detail)) for door in doors]
            time.sleep(fault.seconds)
            for pairs in dead:
                proxy.bury(pairs)

    def _break_broker(self, fault: Fault) -> None:
        node = self.stage.brokers[fault.target]
        if fault.kind is Kind.KILL:
            node.kill()
            node.start()
        elif fault.kind is Kind.RESTART:
            node.restart()
        else:
            nodes = self.stage.brokers.values() if fault.detail == "all nodes" else [node]
            _freeze([pid for each in nodes if (pid := each.pid)], fault.seconds)
        if isinstance(node, ClusterNode):
            size = len(self.stage.brokers)
            wait_until(f"{fault.target} is back", lambda: self._whole(node, size), seconds=REJOIN_SECONDS)

    @staticmethod
    def _whole(node: RabbitMQ, size: int) -> bool:
        """Whether the cluster has all its nodes and the queue all its members again."""
        assert isinstance(node, ClusterNode)
        queue = node.api.queue(QUEUE) or {}
        return node.has_joined(size) and len(queue.get("online", [])) == size

    def _break_database(self, fault: Fault) -> None:
        server = self.stage.postgres
        if fault.kind is Kind.KILL:
            server.kill()
            server.start()
        elif fault.kind is Kind.RESTART:
            server.restart()
        else:
            pid = server._server.pid
            _freeze([pid, *server._children()] if pid else [], fault.seconds)


def _freeze(pids: Sequence[int], seconds: float) -> None:
    """Stop processes for a while."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
