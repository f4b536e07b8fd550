"""SEND and ACK frames as bytes, and what cannot be said in one: pure.

stomp.py makes the same frames; made here, many go to the socket in one write. ``publishing.py`` and ``link.py`` send
them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NOT_IN_NAMES = frozenset("\r\n:\0")


def send_frame(destination: str, body: str | bytes, headers: Mapping[str, object], receipt: str) -> bytes:
    """Return the frame of one message; its headers are such that ``unsendable`` says nothing against them."""
    content = body.encode() if isinstance(body, str) else body
    length = [str(len(content))] if content else []
    values = _escaped([destination, receipt, *length, *map(str, headers.values())])
    return (_head(tuple(headers), bool(content)) % tuple(values)).encode() + content + b"\0"


@lru_cache(maxsize=256)
def _head(names: tuple[str, ...], has_content: bool) -> str:
    """Return the beginning of a frame with a place for each value; messages of one kind have the same names."""
    length = ["content-length"] if has_content else []
    lines = [f"{name.replace('%', '%%')}:%s\n" for name in ["destination", "receipt", *length, *names]]
    return "".join(["SEND\n", *lines, "\n"])


def ack_frames(identities: Iterable[str]) -> bytes:
    """Return the frames that acknowledge deliveries, each named by its ``ack`` header; of STOMP 1.2."""
    return "".join([f"ACK\nid:{identity}\n\n\0" for identity in _escaped(list(identities))]).encode()


def _escaped(values: list[str]) -> list[str]:
    """Return values as STOMP 1.2 writes them; all at once, for it is the calls that cost."""
    whole = "\0".join(values)  # Which none of them holds.
    escaped = whole.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace(":", "\\c")
    return escaped.split("\0") if values else []


def unsendable(headers: Mapping[str, str], destination: str = "/") -> str | None:
    """Return why these headers, or the destination, cannot be put in a frame, None when they can.

    Neither names nor NUL can be escaped, and a frame that goes out crooked takes its neighbours down.
    """
    values = "".join([destination, *headers.values()])
    if destination and values.isascii() and "\0" not in values and _are_plain(tuple(headers)):
        return None
    return _problem({**headers, "destination": destination})


@lru_cache(maxsize=256)
def _are_plain(names: tuple[str, ...]) -> bool:
    joined = "".join(names)
    taken = {"", "transaction"}
    return joined.isascii() and _NOT_IN_NAMES.isdisjoint(joined) and taken.isdisjoint(names)


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
