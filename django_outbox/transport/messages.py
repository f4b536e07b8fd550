"""Hears messages before stomp.py does, many with one read; everything else is stomp.py's to read.

stomp.py takes some regular expressions to each header and tells a list of listeners of each frame: that is more than
the rest of what a subscriber does for a message that comes in a batch. ``MessageTap`` is what ``reading.WholeFrames``
gives to ``take``. It takes only frames that are well-formed to the last byte; what is odd is read as it ever was.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stomp.utils import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

_MESSAGE = re.compile(rb"\n*MESSAGE\n")
_LENGTH = re.compile(rb"\ncontent-length:([0-9]+)(?=\n)")
_ESCAPED = re.compile(r"\\.")
_UNESCAPED = {"\\r": "\r", "\\n": "\n", "\\c": ":", "\\\\": "\\"}


class MessageTap:
    """Gives the messages of one connection to ``hear``, on the thread of stomp.py's receiver."""

    def __init__(self, hear: Callable[[Frame], None]) -> None:
        self._hear = hear

    def __call__(self, data: bytes) -> bytes:
        """Hear the messages that ``data`` begins with, and return what follows them."""
        position = 0
        while (found := _first_message(data, position)) is not None:
            head, body, last = found
            position = last + 1
            self._hear(Frame("MESSAGE", _headers_of(data[head : body - 2]), data[body:last]))
        return data[position:]


def _first_message(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Return where the headers of the message begin that is whole there, its body does, and where its NUL is."""
    command = _MESSAGE.match(data, position)
    if command is None:
        return None
    head = command.end()
    head_end = data.find(b"\n\n", head - 1)
    if head_end < 0 or data.find(b"\0", head, head_end) >= 0 or data.find(b"\r", head, head_end) >= 0:
        return None
    body = head_end + 2
    length = _LENGTH.search(data, head - 1, head_end + 1)
    if length is None:
        # Written in another way, it would be stomp.py's to understand.
        last = -1 if data.find(b"content-length", head, head_end) >= 0 else data.find(b"\0", body)
    else:
        last = body + int(length[1])
    return (head, body, last) if body <= last < len(data) and data[last] == 0 else None


def _headers_of(head: bytes) -> dict[str, str]:
    """Return the headers of a frame, of two with one name the first, as stomp.py does."""
    headers: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\n"):
        name, colon, value = line.partition(":")
        if not (name and colon):
            continue
        if "\\" in line:
            name, value = _ESCAPED.sub(_unescape, name), _ESCAPED.sub(_unescape, value)
        if name not in headers:
            headers[name] = value
    return headers


def _unescape(match: re.Match[str]) -> str:
    return _UNESCAPED.get(match[0], match[0])
