"""SEND frames as bytes, and what cannot be said in one: pure.

stomp.py makes the same frames; made here, many go to the socket in one write. ``publishing.py`` sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_NOT_IN_NAMES = frozenset("\r\n:\0")


def send_frame(destination: str, body: str | bytes, headers: Mapping[str, object], receipt: str) -> bytes:
    """Return the frame of one message; its headers are such that ``unsendable`` says nothing against them."""
    content = body.encode() if isinstance(body, str) else body
    lines = ["SEND", f"destination:{_escaped(destination)}", f"receipt:{receipt}"]
    if content:
        lines.append(f"content-length:{len(content)}")
    lines += [f"{name}:{_escaped(str(value))}" for name, value in headers.items()]
    return "\n".join(lines).encode() + b"\n\n" + content + b"\0"


def _escaped(value: str) -> str:
    """Return a value as STOMP 1.2 writes it."""
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace(":", "\\c")


def unsendable(headers: Mapping[str, str], destination: str = "/") -> str | None:
    """Return why these headers, or the destination, cannot be put in a frame, None when they can.

    Neither names nor NUL can be escaped, and a frame that goes out crooked takes its neighbours down.
    """
    names, values = "".join(headers), "".join(headers.values())
    plain = "transaction" not in headers and names.isascii() and values.isascii() and destination.isascii()
    if plain and destination and "" not in headers and _NOT_IN_NAMES.isdisjoint(names) and "\0" not in values:
        return None if "\0" not in destination else "the header 'destination' holds NUL"
    return _problem({**headers, "destination": destination})


def _problem(headers: Mapping[str, str]) -> str | None:
    for name, value in headers.items():
        if name == "destination" and not value:
            return "the destination is empty"
        if name == "transaction":
            return "the header 'transaction' is STOMP's own: the broker would wait for the end of one that nobody began"
        if not name or not _NOT_IN_NAMES.isdisjoint(name):
            return f"the header name {name!r} is empty or holds a colon, a line break or NUL"
        if "\0" in value:
            return f"the header {name!r} holds NUL"
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            return f"the header {name!r} holds what UTF-8 cannot say"
    return None
