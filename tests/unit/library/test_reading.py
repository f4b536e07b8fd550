"""Frames reach stomp.py whole and without heart-beats before them, however the bytes come."""

from __future__ import annotations

import socket
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from stomp.listener import ConnectionListener

from django_outbox.transport.reading import HEART_BEAT, FrameCutter, WholeFrames
from django_outbox.transport.stomp import build_connection
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stomp import StompConnection12

HEADS = st.sampled_from([b"MESSAGE\nmessage-id:1\n", b"RECEIPT\nreceipt-id:7\n", b"ERROR\r\nmessage:no\r\n"])
BODIES = st.binary(max_size=40)
BETWEEN = st.sampled_from([b"", b"\n", b"\n\n", b"\n\n\n", b"\r\n\r\n"])


def _frame(head: bytes, body: bytes) -> bytes:
    end = b"\r\n" if b"\r" in head else b"\n"
    return head + b"content-length:" + str(len(body)).encode() + end + end + body + b"\0"


FRAMES = st.one_of(
    st.builds(_frame, HEADS, BODIES),
    st.builds(lambda head, body: head + b"\n" + body.replace(b"\0", b"") + b"\0", HEADS, BODIES),
    st.just(b"MESSAGE\nhalf:a header\0"),  # What RabbitMQ makes of a header with NUL in it.
)


@given(st.lists(st.tuples(BETWEEN, FRAMES), max_size=6), BETWEEN, st.lists(st.integers(0, 500), max_size=8))
@example([(b"\n\n", b"MESSAGE\nmessage-id:1\n\nhello\0")], b"", [1])
def test_what_is_cut_anywhere_comes_out_as_the_same_frames(
    frames: list[tuple[bytes, bytes]], last: bytes, cuts: list[int]
) -> None:
    stream = b"".join(between + frame for between, frame in frames) + last
    cutter = FrameCutter()
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [cutter.feed(stream[begin:end]) for begin, end in pairwise(places)]
    assert b"".join(pieces) == b"".join(frame for _, frame in frames)
    assert cutter.is_between_frames()
    assert not any(piece.startswith((b"\n", b"\r")) for piece in pieces)


def test_a_large_frame_in_small_pieces_is_looked_through_once() -> None:
    class Counting(bytearray):
        searched = 0

        def find(self, what: bytes, start: int = 0) -> int:  # type: ignore[override]
            Counting.searched += len(self) - start
            return super().find(what, start)

    cutter = FrameCutter()
    cutter._held = Counting()
    body = b"x" * 1_000_000
    frame = b"MESSAGE\nmessage-id:1\n\n" + body + b"\0"
    pieces = [cutter.feed(frame[start : start + 1000]) for start in range(0, len(frame), 1000)]
    assert [piece for piece in pieces if piece] == [frame]
    assert Counting.searched < 2 * len(frame)


class _Ears(ConnectionListener):  # type: ignore[misc]
    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def on_message(self, frame: Any) -> None:
        self.heard.append(("message", frame.body))

    def on_heartbeat(self) -> None:
        self.heard.append(("heart-beat", None))

    def on_error(self, frame: Any) -> None:
        self.heard.append(("error", frame.body))


@pytest.fixture
def ends() -> Iterator[tuple[StompConnection12, socket.socket, _Ears]]:
    """A connection as workers have it, its other end, and what a listener hears."""
    ours, theirs = socket.socketpair()
    connection = build_connection(None, [("localhost", 1)])
    ears = _Ears()
    connection.set_listener("ears", ears)
    connection.transport.socket = ours
    connection.transport.attempt_connection = lambda: None
    connection.transport.start()
    yield connection, theirs, ears
    theirs.close()
    wait_until("the receiver's end", lambda: connection.transport.socket is None, seconds=10)


@pytest.mark.parametrize("beats", [1, 2, 3])
@pytest.mark.parametrize("kind", ["MESSAGE", "ERROR"])
def test_a_frame_behind_piled_up_heart_beats_is_heard(
    ends: tuple[StompConnection12, socket.socket, _Ears], beats: int, kind: str
) -> None:
    _, theirs, ears = ends
    theirs.sendall(b"\n" * beats + f"{kind}\nmessage-id:1\ncontent-length:3\n\na\0b\0".encode())
    wait_until("the frame", lambda: ears.heard, seconds=10)
    assert ears.heard == [(kind.lower(), "a\0b")]


def test_every_piece_is_a_sign_of_life(ends: tuple[StompConnection12, socket.socket, _Ears]) -> None:
    _, theirs, ears = ends
    for piece in (b"\n\n", b"MESSAGE\n"):
        count = len(ears.heard)
        theirs.sendall(piece)
        wait_until("a heart-beat", lambda count=count: len(ears.heard) > count, seconds=10)  # type: ignore[misc]
    theirs.sendall(b"message-id:1\n\nhello\0")
    wait_until("the message", lambda: len(ears.heard) > 2, seconds=10)
    assert ears.heard == [("heart-beat", None), ("heart-beat", None), ("message", "hello")]


def test_the_end_and_errors_are_stomps_to_judge() -> None:
    class Broken:
        socket = None

        @staticmethod
        def receive() -> bytes:
            raise ConnectionResetError("as stomp.py sees it")

    with pytest.raises(ConnectionResetError, match="as stomp"):
        WholeFrames(Broken())()
    assert HEART_BEAT == b"\n"
