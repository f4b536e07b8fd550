"""What the servers of this package share: where they listen, where they live, and as whom they run."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from tests.rig.paths import REPOSITORY, state_directory
from tests.rig.rundirs import run_directory
from tests.rig.waiting import MissingProgramError, RigError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
START_SECONDS = 60  # RabbitMQ takes 4 to 6 s on an idle machine of 2 cores; a busy one needs room


def services_directory() -> Path:
    """A folder that the servers' own users can reach: `.rig/services`, or one under /var/tmp for a closed home."""
    wanted = state_directory() / "services"
    if os.geteuid() == 0 and not all(part.stat().st_mode & 0o001 for part in wanted.resolve().parents if part.exists()):
        wanted = Path("/var/tmp") / f"django-outbox-rig{str(REPOSITORY).replace('/', '-')}"
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def run_as(user: str) -> str | None:
    """The user to become: `user` for root (no server here runs as root), None for anybody else."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise MissingProgramError(f"no user {user!r} here: install the server with `python -m tests.rig apt`") from None
    return user


def own(directory: Path, user: str | None) -> Path:
    """Make a directory that belongs to the server's user and return it."""
    directory.mkdir(parents=True, exist_ok=True)
    if user:
        shutil.chown(directory, user, user)
    directory.chmod(0o750)
    return directory


class Server(Protocol):
    """A server of this package: made with its directory, then started and ended."""

    def __init__(self, directory: Path) -> None: ...

    def start(self) -> None:
        """Start it and wait until it answers."""

    def kill(self) -> None:
        """End it like a power cut would."""


ServerT = TypeVar("ServerT", bound=Server)


@contextlib.contextmanager
def serving(kind: type[ServerT]) -> Iterator[ServerT]:
    """A started server in a directory of its own, ended and removed at the end."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(_started(kind))
        except RigError as error:
            # Ports are chosen before the server listens there, and runs side by side may choose the same ones.
            print(f"{kind.__name__} did not start, once more on other ports: {error}", flush=True)
            server = stack.enter_context(_started(kind))
        yield server


@contextlib.contextmanager
def _started(kind: type[ServerT]) -> Iterator[ServerT]:
    with run_directory(services_directory()) as directory:
        server = kind(directory / kind.__name__.lower())
        try:
            server.start()
            yield server
        finally:
            server.kill()  # its data go with the directory, so nothing is worth the seconds of a good order
