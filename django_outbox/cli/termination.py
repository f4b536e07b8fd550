"""What a container leaves behind for whoever asks why it ended, and how it ends when it is told to."""

from __future__ import annotations

import contextlib
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator, Sequence

MOST_BYTES = 4000
"""Kubernetes keeps 4096 bytes of a termination message."""


def add_argument(parser: ArgumentParser) -> None:
    """Add ``--termination-log``."""
    parser.add_argument(
        "--termination-log", metavar="PATH", help="write what is wrong there too, for the status of a container"
    )


def write(path: str | None, lines: Sequence[str]) -> None:
    """Write lines to the termination log, if there is one and something to write; cut between characters."""
    if path is None or not lines:
        return
    text = "\n".join(lines).encode()[:MOST_BYTES].decode(errors="ignore")
    with contextlib.suppress(OSError):  # The log has it all the same.
        Path(path).write_text(text)


@contextlib.contextmanager
def ends_on_sigterm() -> Iterator[None]:
    """End with 143 on SIGTERM: the first process of a container would otherwise not hear it at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(*_: Any) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
