"""Tells a frame that was cut off from one that merely has no body.

A frame ends at NUL, and a STOMP header cannot hold one. RabbitMQ passes headers that an AMQP producer gave on as they
are: what arrives then is a message with half of its headers and no body, followed by rubbish. stomp.py takes both for
frames. ``link.py`` refuses the first, so that the broker keeps the message whole among the dead letters.
"""

from __future__ import annotations

from typing import Any

_HEAD_ENDS = (b"\n\n", b"\r\n\r\n")


def mark_cut_frames(transport: Any) -> None:
    """Have a transport of stomp.py mark each frame whose headers do not end, before the listeners hear it."""
    process = getattr(transport, "process_frame", None)
    if process is None:
        return

    def marked(frame: Any, raw: bytes) -> None:
        frame.is_cut = not any(end in raw for end in _HEAD_ENDS)
        process(frame, raw)

    transport.process_frame = marked


def is_cut(frame: Any) -> bool:
    """Tell whether a frame was marked."""
    return bool(getattr(frame, "is_cut", False))
