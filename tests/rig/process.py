"""Background programs of the rig: started in their own session, known by a pid file, ended by that id and no other.

A pid file holds the process's start time too, so a number that the system has given to another program since is never
signalled. Used by the host services, the control plane and the node.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING

from tests.rig.waiting import MissingProgramError, RigError, RigTimeoutError, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

# Below the kernel's ephemeral range (32768) and below NodePorts (30000): nothing hands these out by itself.
_PORTS = range(15000, 29900)

# Children of this very process: they have to be reaped, by whichever Daemon object finds them ended.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}


def free_port() -> int:
    """A TCP port that nothing listens on now. Random, so that runs side by side do not meet."""
    chooser = SystemRandom()
    for _ in range(200):
        port = chooser.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            return port
    raise RigError("no free TCP port between 15000 and 29900: see `ss -lnt`")


def port_open(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


def find_program(name: str, *extra_folders: str, package: str) -> Path:
    """The program's path, on PATH or in `extra_folders`; raises MissingProgramError naming the Debian package."""
    found = shutil.which(
        name, path=os.pathsep.join([*extra_folders, os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    )
    if found is None:
        raise MissingProgramError(
            f"{name} is not installed: `python -m tests.rig apt` as root, or `apt-get install {package}`"
        )
    return Path(found)


def start_time(pid: int) -> str | None:
    """The kernel's start stamp of a live process; None for a dead one or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


@dataclass
class Daemon:
    """One background program; `directory` gets its log and pid file.

    `user` (a name) is who it runs as; None keeps the caller. `environment` is added to the caller's.
    """

    name: str
    argv: list[str]
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        return self.directory / f"{self.name}.pid"

    @property
    def pid(self) -> int | None:
        """The id of the running program, None when it does not run."""
        try:
            text, _, started = self.pid_file.read_text().strip().partition(" ")
        except OSError:
            return None
        pid = int(text or 0)
        if pid in _CHILDREN:
            if _CHILDREN[pid].poll() is None:
                return pid
            del _CHILDREN[pid]
        return pid if pid and start_time(pid) == started else None

    def start(self) -> None:
        """Start the program unless it runs already; returns at once."""
        if self.pid is not None:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                cwd="/",
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[self.user] if self.user else None,
            )
        _CHILDREN[child.pid] = child
        self.pid_file.write_text(f"{child.pid} {start_time(child.pid)}\n")

    def wait_ready(self, what: str, condition: Callable[[], object], *, seconds: float) -> None:
        """Wait for `condition`; a program that ends first, or a passed deadline, raises with the tail of its log."""

        def check() -> bool:
            if self.pid is None:
                raise RigError(f"{self.name} ended before {what}; it ran: {' '.join(self.argv)}\n{tail(self.log)}")
            return bool(condition())

        wait_until(f"{self.name}: {what}", check, seconds=seconds, state=lambda: tail(self.log))

    def send(self, number: int) -> None:
        """Send a signal to the program, if it runs."""
        if (pid := self.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, *, seconds: float = 20, number: int = signal.SIGTERM) -> None:
        """Ask the program to end, and kill it when it has not after `seconds`."""
        if self.pid is not None:
            self.send(number)
            with contextlib.suppress(RigTimeoutError):
                wait_until("end", lambda: self.pid is None, seconds=seconds, every=0.05)
            self.kill()
        self.pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the program with SIGKILL and wait until it is gone."""
        if self.pid is not None:
            self.send(signal.SIGKILL)
            wait_until(f"{self.name}: gone after SIGKILL", lambda: self.pid is None, seconds=20, every=0.02)


def run(
    argv: list[str],
    *,
    input_text: str | None = None,
    seconds: float = 120,
    environment: dict[str, str] | None = None,
    user: str | None = None,
) -> str:
    """Run a program to its end and return its standard output; raises RigError with both outputs when it fails."""
    try:
        done = subprocess.run(
            argv,
            input=input_text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env={**os.environ, **(environment or {})},
            user=user,
            group=user,
            extra_groups=[user] if user else None,
        )
    except subprocess.TimeoutExpired as error:
        raise RigTimeoutError(f"`{' '.join(argv)}` did not end within {seconds:g} s") from error
    except FileNotFoundError as error:
        raise MissingProgramError(f"{argv[0]} is not installed: `python -m tests.rig apt` as root") from error
    if done.returncode:
        raise RigError(f"`{' '.join(argv)}` failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
