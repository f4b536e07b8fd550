"""Small frames of one thread go out in one write; those of other threads wait for nobody."""

from __future__ import annotations

import threading

import pytest

from django_outbox.transport.joined import JoinedWrites


class Transport:
    """Remembers each write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def send(self, piece: bytes) -> None:
        self.written.append(piece)


def test_what_a_thread_writes_within_is_one_write_in_its_order() -> None:
    transport = Transport()
    with JoinedWrites(transport).joined():
        transport.send(b"a")
        transport.send(b"b")
        assert transport.written == []
    transport.send(b"c")
    assert transport.written == [b"ab", b"c"]


def test_another_threads_heartbeat_is_not_held_back() -> None:
    transport = Transport()
    with JoinedWrites(transport).joined():
        transport.send(b"a")
        beat = threading.Thread(target=transport.send, args=(b"beat",))
        beat.start()
        beat.join()
        assert transport.written == [b"beat"]
    assert transport.written == [b"beat", b"a"]


def test_nothing_is_sent_when_the_frames_could_not_be_made() -> None:
    transport = Transport()
    with pytest.raises(ValueError, match="frame"), JoinedWrites(transport).joined():  # noqa: PT012 - two writes
        transport.send(b"a")
        raise ValueError("frame")
    transport.send(b"b")
    assert transport.written == [b"b"]


def test_without_a_transport_nothing_is_joined() -> None:
    with JoinedWrites(None).joined():
        pass
