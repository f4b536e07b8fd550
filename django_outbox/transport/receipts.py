"""Hears the broker's receipts before stomp.py does, many at a time; everything else is stomp.py's to read.

A receipt for each message is half of what a publisher reads and writes, and stomp.py takes one frame at a time, with a
list of listeners for each. ``ReceiptTap`` takes the place of a transport's ``receive``. It takes out only frames that
it knows to the last byte, and stops doing so for good where it cannot tell any more where a frame begins.
"""

from __future__ import annotations

import re
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_RECEIPT = re.compile(rb"\n*RECEIPT\nreceipt-id:([0-9]+-[0-9]+)\n\n\0")
_BEGINNING = b"RECEIPT\nreceipt-id:"
_LENGTH = re.compile(rb"^content-length:([0-9]+)\r?$", re.MULTILINE)
_RECEIVE_BYTES = 65536
# stomp.py's watch over heart-beats has to see now and then that something came.
_SIGN_OF_LIFE, _LIFE_SECONDS = b"\n", 0.5


class _State(Enum):
    LOGGING_IN = auto()
    TAPPING = auto()
    PASSING = auto()


class ReceiptTap:
    """Gives the receipts of one connection to ``hear``, on the thread of stomp.py's receiver."""

    def __init__(self, transport: Any, hear: Callable[[Sequence[str]], None]) -> None:
        self._transport = transport
        self._receive = transport.receive
        self._hear = hear
        self._state = _State.LOGGING_IN
        self._held = b""
        self._showed_life = 0.0

    def __call__(self) -> bytes | None:
        """Return the next bytes for stomp.py; raises what its own ``receive`` raises."""
        while True:
            received = self._read()
            if not received or self._state is _State.PASSING:
                return received
            data, self._held = self._held + received, b""
            if self._state is _State.LOGGING_IN:
                return self._pass_on(data)
            rest, some = self._take(data)
            if _may_be_receipt(rest):
                self._held = rest
                rest = b""
            if rest.strip(b"\n"):
                return self._pass_on(rest)
            now = time.monotonic()
            if not some or now - self._showed_life > _LIFE_SECONDS:
                self._showed_life = now
                return _SIGN_OF_LIFE

    def _read(self) -> bytes | None:
        if self._state is _State.PASSING:
            return self._receive()  # type: ignore[no-any-return]
        try:
            return self._transport.socket.recv(_RECEIVE_BYTES)  # type: ignore[no-any-return]
        except OSError:
            # What an error means is stomp.py's to say.
            return self._receive()  # type: ignore[no-any-return]

    def _take(self, data: bytes) -> tuple[bytes, bool]:
        """Hear the receipts that ``data`` begins with; return what follows them, and whether there was one."""
        position, receipts = 0, []
        while match := _RECEIPT.match(data, position):
            receipts.append(match[1].decode())
            position = match.end()
        if receipts:
            self._hear(receipts)
        return data[position:], bool(receipts)

    def _pass_on(self, data: bytes) -> bytes:
        self._state = _State.TAPPING if _is_one_frame(data) else _State.PASSING
        return data


def _may_be_receipt(data: bytes) -> bool:
    """Tell whether this may become a receipt when more comes."""
    start = data.lstrip(b"\n")
    return bool(start) and b"\0" not in start and start[: len(_BEGINNING)] == _BEGINNING[: len(start)]


def _is_one_frame(data: bytes) -> bool:
    """Tell whether this is one frame, whole: the next byte then begins another."""
    frame, end, after = data.partition(b"\0")
    head, _, body = frame.partition(b"\n\n")
    length = _LENGTH.search(head)
    return bool(end) and not after.strip(b"\n") and (length is None or int(length[1]) == len(body))
