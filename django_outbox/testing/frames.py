"""STOMP 1.2 frames as bytes, for the broker in memory: pure. The workers themselves leave this to stomp.py."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = {"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c"}
_UNESCAPES = {escaped: character for character, escaped in _ESCAPES.items()}
# CONNECT and CONNECTED are as in STOMP 1.0, which has no escapes.
_UNESCAPED = frozenset({"CONNECT", "CONNECTED"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; ``body`` as it goes over the wire."""

    command: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the frame as bytes."""
        plain = self.command in _UNESCAPED
        lines = [self.command]
        lines += [f"{name}:{value}" if plain else f"{_escape(name)}:{_escape(value)}" for name, value in self._all()]
        return "\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body + b"\0"

    def _all(self) -> list[tuple[str, str]]:
        length = {"content-length": str(len(self.body))} if self.body else {}
        return list({**self.headers, **length}.items())


class FrameReader:
    """Puts frames together from bytes as they come."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Take more bytes and return the frames that are whole now."""
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> Frame | None:
        # Line ends between frames are heartbeats.
        self._buffer = self._buffer.lstrip(b"\r\n")
        head_end = re.search(rb"\r?\n\r?\n", self._buffer)
        if head_end is None:
            return None
        lines = re.split(r"\r?\n", self._buffer[: head_end.start()].decode("utf-8", "surrogateescape"))
        headers = _headers(lines[0], lines[1:])
        begin = head_end.end()
        end = begin + int(headers["content-length"]) if "content-length" in headers else self._buffer.find(b"\0", begin)
        if end < begin or len(self._buffer) <= end:
            return None
        body, self._buffer = self._buffer[begin:end], self._buffer[end + 1 :]
        return Frame(lines[0], headers, body)


def _headers(command: str, lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        if command not in _UNESCAPED:
            name, value = _unescape(name), _unescape(value)
        # Of headers with one name, the first counts.
        headers.setdefault(name, value)
    return headers


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(character, character) for character in text)


def _unescape(text: str) -> str:
    return re.sub(r"\\[\\rnc]", lambda match: _UNESCAPES[match.group()], text)
