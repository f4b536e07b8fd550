"""Messages are heard before stomp.py reads them, however the bytes are cut, and are what stomp.py makes of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import stomp
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st
from stomp.utils import Frame, parse_frame

from django_outbox import link as link_module
from django_outbox.link import Link
from django_outbox.transport.messages import MessageTap
from django_outbox.transport.reading import HEART_BEAT, WholeFrames
from django_outbox.transport.stomp import build_connection

CONNECTED = b"CONNECTED\nserver:RabbitMQ/3.10.8\nversion:1.2\n\n\0"
RECEIPT = b"RECEIPT\nreceipt-id:subscribed-1\n\n\0"
ERROR = b"ERROR\nmessage:no\ncontent-length:3\n\na\0b\0"
FIRST = b"MESSAGE\nmessage-id:1\nx:a\\cb\\\\n\\n\\t\ncontent-length:5\n\n\0MESS\0"
SECOND = b"MESSAGE\nmessage-id:2\nmessage-id:3\n\nplain \xff text\0"

Heard = list[tuple[dict[str, str], bytes]]


class _Wire:
    """A socket that gives one piece at a time and then nothing."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def recv(self, _size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def _read(*pieces: bytes) -> tuple[Heard, bytes]:
    """Return the messages that were heard, and what stomp.py would read besides heart-beats."""
    wire = _Wire(list(pieces))
    transport: Any = SimpleNamespace(socket=wire, receive=lambda: wire.recv(1024))
    heard: Heard = []
    read = WholeFrames(transport, MessageTap(lambda frame: heard.append((frame.headers, frame.body))))
    passed = []
    while data := read():
        passed.append(data)
    return heard, b"".join(data for data in passed if data != HEART_BEAT)


def _as_stomp_reads(frame: bytes) -> tuple[dict[str, str], bytes]:
    parsed = parse_frame(frame[:-1])
    return parsed.headers, parsed.body


BOTH = [_as_stomp_reads(FIRST), _as_stomp_reads(SECOND)]


@pytest.mark.parametrize("between", [b"", b"\n", b"\n\n\n"])
@pytest.mark.parametrize("cut", range(1, len(FIRST + SECOND)))
def test_messages_may_be_cut_anywhere_and_are_what_stomp_would_read(cut: int, between: bytes) -> None:
    data = FIRST + between + SECOND + between
    assert _read(CONNECTED, data[:cut], data[cut:]) == (BOTH, CONNECTED)


def test_other_frames_are_passed_on_and_so_is_what_comes_with_them_and_after_them() -> None:
    assert _read(CONNECTED, FIRST + RECEIPT + SECOND, SECOND) == (BOTH, CONNECTED + RECEIPT + SECOND)
    assert _read(CONNECTED, FIRST, ERROR, SECOND) == (BOTH, CONNECTED + ERROR)


@pytest.mark.parametrize(
    "odd",
    [
        b"MESSAGE\nmessage-id:1\nx:cut\0",
        b"MESSAGE\r\nmessage-id:1\r\n\r\nbody\0",
        b"MESSAGE\nmessage-id:1\ncontent-length:2\n\nbody\0",
        b"MESSAGE\nmessage-id:1\ncontent-length: 4\n\nbody\0",
        b"MESSAGES\nmessage-id:1\n\nbody\0",
    ],
)
def test_what_is_not_understood_to_the_byte_is_left_to_stomp(odd: bytes) -> None:
    for cut in range(1, len(odd)):
        assert _read(CONNECTED, FIRST, odd[:cut], odd[cut:], SECOND) == (BOTH, CONNECTED + odd)


def test_a_header_that_holds_nul_ends_its_frame_as_ever() -> None:
    cut, rubbish = b"MESSAGE\nmessage-id:1\nx:cut\0", b"off\n\nbody\0"
    heard, passed = _read(CONNECTED, cut + rubbish)
    assert heard == []
    assert passed == CONNECTED + cut + rubbish


@given(st.dictionaries(st.text(), st.text()), st.binary(), st.booleans())
def test_every_well_formed_frame_is_read_as_stomp_reads_it(headers: dict[str, str], body: bytes, sized: bool) -> None:
    table = str.maketrans({"\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c", "\0": ""})
    lines = [f"{name.translate(table)}:{value.translate(table)}" for name, value in headers.items()]
    body = body if sized else body.replace(b"\0", b"")
    first = [f"content-length:{len(body)}"] if sized else []
    frame = "\n".join(["MESSAGE", *first, *lines, "", ""]).encode("utf-8", "replace") + body
    heard, passed = _read(CONNECTED, frame + b"\0")
    if heard:
        parsed = parse_frame(frame)
        assert heard == [(parsed.headers, parsed.body)]
    else:
        assert passed == CONNECTED + frame + b"\0"


class Own(stomp.StompConnection12):  # type: ignore[misc]
    """A connection class of the project's own."""


@pytest.mark.parametrize(("kind", "taps"), [("stomp.StompConnection12", True), (f"{__name__}.Own", False)])
def test_a_connection_class_of_the_projects_own_sees_each_frame(
    monkeypatch: pytest.MonkeyPatch, kind: str, taps: bool
) -> None:
    def open_connection(_role: str, prepare: Any, **_options: Any) -> Any:
        connection = build_connection((0, 0))
        prepare(connection)
        return SimpleNamespace(connection=connection)

    monkeypatch.setattr(link_module, "open_connection", open_connection)
    got: list[Any] = []
    link = Link(got.append)
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_CONNECTION_CLASS": kind}):
        link.open()
    take = link.connection.transport.receive.take
    assert isinstance(take, MessageTap) is taps
    if taps:
        subscription = f"subscription:{link.subscription_id}".encode()
        assert take(b"MESSAGE\nmessage-id:1\n" + subscription + b"\n\n\xff\0rest") == b"rest"
        assert [(delivery.body, delivery.raw) for delivery in got] == [("\ufffd", b"\xff")]


def test_a_listener_hears_a_frame_of_stomp() -> None:
    heard: list[Frame] = []
    MessageTap(heard.append)(FIRST)
    assert (heard[0].cmd, heard[0].headers, heard[0].original_headers) == ("MESSAGE", BOTH[0][0], BOTH[0][0])
