"""The run's workers as processes, started again when they end, as Kubernetes does with a pod's container."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

RESTART_PAUSE_SECONDS = 0.5
# The probe that Kubernetes makes: so many failures in a row, so far apart, and the container is started anew.
PROBE_EVERY_SECONDS = 10
PROBE_FAILURES = 3


@dataclass
class Process:
    """One worker. ``port`` is its probes', None for a program that has none."""

    name: str
    argv: list[str]
    environment: dict[str, str]
    directory: Path
    log: Path
    port: int | None = None
    liveness: str = "/livez"
    patient: bool = False
    """Whether probes count only once one has succeeded, as with a startup probe: a busy machine starts slowly."""
    starts: int = 0
    ended_by_itself: int = 0
    failed_probes: int = 0
    answered: bool = False
    ended_by_probe: int = 0
    _child: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _expected: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self) -> None:
        """Start it; its output is added to the log."""
        with self._lock, self.log.open("ab") as log:
            log.write(f"=== start {self.starts + 1}: {' '.join(self.argv)}\n".encode())
            log.flush()
            self._child = subprocess.Popen(
                self.argv,
                cwd=self.directory,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            self.starts += 1
            self.failed_probes = 0
            self.answered = False
            self._expected = False

    @property
    def runs(self) -> bool:
        """Whether there is a process to do something to."""
        with self._lock:
            return self._child is not None and self._child.poll() is None

    def signal(self, number: int) -> subprocess.Popen[bytes] | None:
        """Send a signal to the process as it is now and return it, None when there is none."""
        with self._lock:
            if self._child is None or self._child.poll() is not None:
                return None
            self._expected = self._expected or number in (signal.SIGKILL, signal.SIGTERM)
            self._child.send_signal(number)
            return self._child

    def freeze(self, seconds: float) -> None:
        """Let it stand still, then go on as if nothing had been."""
        child = self.signal(signal.SIGSTOP)
        time.sleep(seconds)
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(signal.SIGCONT)

    def ended(self) -> bool:
        """Whether it has to be started again; counts those that ended without being asked."""
        with self._lock:
            if self._child is None or self._child.poll() is None:
                return False
            if not self._expected:
                self.ended_by_itself += 1
            with self.log.open("a") as log:
                log.write(f"=== ended with {self._child.returncode}{'' if self._expected else ', by itself'}\n")
            self._child = None
            return True

    def stop(self, seconds: float) -> int | None:
        """Ask it to stop, kill it when it does not; return the exit code."""
        child = self.signal(signal.SIGTERM)
        if child is None:
            return None
        child.send_signal(signal.SIGCONT)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait(10)

    def is_ready(self) -> bool:
        """Whether the worker says that it can work; one without probes counts as ready."""
        return self.port is None or self._probe("/readyz")

    def probe(self) -> None:
        """Do what the kubelet does with the liveness probe."""
        if self.port is None:
            return
        if self._probe(self.liveness):
            self.answered, self.failed_probes = True, 0
        elif self.answered or not self.patient:
            self.failed_probes += 1
        if self.failed_probes >= PROBE_FAILURES:
            self.failed_probes = 0
            self.ended_by_probe += 1
            self.signal(signal.SIGKILL)

    def _probe(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Supervisor:
    """Starts processes again that have ended, and those that fail their probes; a context manager."""

    def __init__(self, processes: list[Process]) -> None:
        self.processes = processes
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._restart, name="supervisor", daemon=True),
            threading.Thread(target=self._probe, name="probes", daemon=True),
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end()

    def end(self) -> None:
        """Leave the processes as they are from now on."""
        self._stop.set()
        for thread in self._threads:
            thread.join(15)

    def _restart(self) -> None:
        ended: dict[str, float] = {}
        while not self._stop.wait(0.05):
            for process in self.processes:
                if process.ended():
                    ended[process.name] = time.monotonic() + RESTART_PAUSE_SECONDS
                if ended.get(process.name, float("inf")) <= time.monotonic():
                    del ended[process.name]
                    process.start()

    def _probe(self) -> None:
        while not self._stop.wait(PROBE_EVERY_SECONDS):
            for process in self.processes:
                process.probe()
