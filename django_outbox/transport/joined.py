"""Many small frames in one write: a system call for each costs a worker more than the frames.

stomp.py writes a frame as soon as it has made it. ``JoinedWrites`` stands in its transport's ``send`` and holds back
what a thread writes within ``joined()``; other threads, such as the one of the heartbeats, go on as ever.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class JoinedWrites:
    """The writes of one transport of stomp.py; without a transport nothing is joined."""

    def __init__(self, transport: Any) -> None:
        self._held = threading.local()
        self._send: Callable[[bytes], object] = getattr(transport, "send", _lose)
        self._joins = self._send is not _lose
        if self._joins:
            transport.send = self._write

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Send at the end of the block, in one piece, what this thread writes in it. Raises what stomp.py raises."""
        if not self._joins:
            yield
            return
        pieces: list[bytes] = []
        self._held.pieces = pieces
        try:
            yield
        finally:
            self._held.pieces = None
        if pieces:
            self._send(b"".join(pieces))

    def _write(self, piece: bytes) -> None:
        pieces: list[bytes] | None = getattr(self._held, "pieces", None)
        if pieces is None:
            self._send(piece)
        else:
            pieces.append(piece)


def _lose(_piece: bytes) -> None:
    """Stand for the ``send`` that a transport does not have."""
