"""Hands stomp.py whole frames and heart-beats, never the one in front of the other.

stomp.py (8 and 9) drops a frame that comes after two heart-beats in one piece: it takes their line ends for the end of
the frame's headers. A worker that stood still for two heart-beats, or whose network did, would lose the message behind
them: the broker waits for its acknowledgement as long as the connection lasts. So ``WholeFrames`` takes the place of a
transport's ``receive`` and keeps the bytes of a frame until it is whole. ``transport.stomp`` installs it.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# stomp.py copies what is left of a piece for each frame in it.
_RECEIVE_BYTES = 16384
_LINE_ENDS = re.compile(rb"[\r\n]*")
_HEAD_END = re.compile(rb"\n\n|\r\n\r\n")
_LENGTH = re.compile(rb"^content-length:\s*([0-9]+)", re.MULTILINE)
HEART_BEAT = b"\n"
_LIFE_SECONDS = 0.5


class FrameCutter:
    """Cuts a stream of bytes where stomp.py would: pure."""

    def __init__(self) -> None:
        # Begins with a frame's first byte, whenever there is one.
        self._held = bytearray()
        self._searched = 0

    def is_between_frames(self) -> bool:
        """Tell whether the next byte begins a frame, or is a heart-beat."""
        return not self._held

    def feed(self, data: bytes) -> bytes:
        """Return the frames that are whole now, and nothing of what is between them; empty when there is none."""
        held = self._held
        begin = 0 if held else _after_line_ends(data, 0)
        held += data
        frames = []
        while (last := self._last_byte(begin)) is not None:
            frames.append(held[begin : last + 1])
            begin = _after_line_ends(held, last + 1)
        del held[:begin]
        self._searched = max(self._searched - begin, 0)
        return b"".join(frames)

    def _last_byte(self, begin: int) -> int | None:
        """Return where the frame that begins there has its NUL, None when that has not come yet."""
        held = self._held
        nul = held.find(b"\0", max(begin, self._searched))
        if nul < 0:
            self._searched = len(held)
            return None
        self._searched = nul
        head_end = _HEAD_END.search(held, begin, nul)
        length = _LENGTH.search(held, begin, head_end.start()) if head_end else None
        # A body may hold NULs itself.
        last = max(nul, head_end.end() + int(length[1])) if head_end and length else nul
        if last >= len(held):
            return None
        self._searched = last + 1
        return last


class WholeFrames:
    """Reads a transport's socket in its ``receive``'s place.

    ``take`` may keep frames for itself: it is called with bytes that begin with a frame, and returns what it leaves of
    them, from the beginning of a frame on.
    """

    def __init__(self, transport: Any, take: Callable[[bytes], bytes] | None = None) -> None:
        self.take = take
        self._transport = transport
        self._receive: Callable[[], bytes | None] = transport.receive
        self._cutter = FrameCutter()
        self._showed_life = 0.0

    def __call__(self) -> bytes | None:
        """Return frames or a heart-beat, nothing at the end; raises what stomp.py's own ``receive`` raises."""
        while received := self._read():
            if frames := self._whole(received):
                return frames
            now = time.monotonic()
            if self.take is None or now - self._showed_life > _LIFE_SECONDS:
                # Also for a part of a large frame: stomp.py's watch has to see that something came.
                self._showed_life = now
                return HEART_BEAT
        return received

    def _read(self) -> bytes | None:
        try:
            return self._transport.socket.recv(_RECEIVE_BYTES)  # type: ignore[no-any-return]
        except (OSError, AttributeError):
            # What an error means, or a socket that was taken away, is stomp.py's to say.
            return self._receive()

    def _whole(self, received: bytes) -> bytes:
        if self.take is None:
            return self._cutter.feed(received)
        if self._cutter.is_between_frames():
            received = self.take(received)
        # Once more: what was in two pieces is whole only now.
        return self.take(self._cutter.feed(received))


def _after_line_ends(data: bytes | bytearray, begin: int) -> int:
    """Return the first position from there on that is no line end."""
    match = _LINE_ENDS.match(data, begin)
    return match.end() if match else begin
