"""Receipts are heard before stomp.py reads them, however the bytes are cut; all else reaches stomp.py unharmed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from django_outbox.transport.reading import HEART_BEAT, WholeFrames
from django_outbox.transport.receipts import ReceiptTap

CONNECTED = b"CONNECTED\nserver:RabbitMQ/3.10.8\nversion:1.2\n\n\0"
ERROR = b"ERROR\nmessage:no\ncontent-length:3\n\na\0b\0"


def _receipt(number: int) -> bytes:
    return f"RECEIPT\nreceipt-id:1-{number}\n\n\0".encode()


class _Wire:
    """A socket that gives one piece at a time and then nothing."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def recv(self, _size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def _read(*pieces: bytes) -> tuple[list[str], list[bytes]]:
    """Return the receipts that were heard, and the pieces that stomp.py would read besides heart-beats."""
    heard: list[str] = []
    transport = SimpleNamespace(socket=_Wire(list(pieces)), receive=lambda: b"")
    receive = WholeFrames(transport, ReceiptTap(heard.extend))
    passed = []
    while data := receive():
        passed.append(data)
    return heard, [data for data in passed if data != HEART_BEAT]


def test_receipts_are_heard_and_kept_from_stomp() -> None:
    heard, passed = _read(CONNECTED, _receipt(1) + _receipt(2), b"\n", b"\n\n" + _receipt(3))
    assert heard == ["1-1", "1-2", "1-3"]
    assert passed == [CONNECTED]


@pytest.mark.parametrize("cut", range(1, len(_receipt(1) + _receipt(2))))
def test_receipts_may_be_cut_anywhere(cut: int) -> None:
    data = _receipt(1) + _receipt(2)
    assert _read(CONNECTED, data[:cut], data[cut:]) == (["1-1", "1-2"], [CONNECTED])


def test_stomp_sees_a_sign_of_life_when_something_came() -> None:
    transport = SimpleNamespace(socket=_Wire([CONNECTED, _receipt(1)]), receive=lambda: b"")
    receive = WholeFrames(transport, ReceiptTap(lambda _receipts: None))
    assert [receive(), receive()] == [CONNECTED, HEART_BEAT]


@pytest.mark.parametrize("cut", range(len(ERROR)))
def test_receipts_behind_an_error_are_heard_or_left_to_stomp(cut: int) -> None:
    heard, passed = _read(CONNECTED, ERROR[:cut] or b"\n", ERROR[cut:] + b"\n" + _receipt(1), _receipt(2))
    assert heard == ["1-2"]
    assert passed == [CONNECTED, ERROR + _receipt(1)]


def test_receipts_that_nobody_gave_out_are_left_to_stomp() -> None:
    foreign = b"RECEIPT\nreceipt-id:0b-1\n\n\0"
    assert _read(CONNECTED, foreign, _receipt(1)) == (["1-1"], [CONNECTED, foreign])


def test_a_body_that_looks_like_a_receipt_is_none() -> None:
    forged = b"ERROR\nmessage:no\ncontent-length:30\n\n\0" + _receipt(7)
    for cut in range(1, len(forged)):
        assert _read(CONNECTED, forged[:cut], forged[cut:])[0] == []


def test_a_login_that_is_refused_is_stomps_to_read() -> None:
    refusal = b"ERROR\nmessage:Bad CONNECT\n\nAccess refused\0"
    assert _read(refusal) == ([], [refusal])
