"""Receipts are heard before stomp.py reads them, however the bytes are cut; all else reaches stomp.py unharmed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from django_outbox.transport.receipts import ReceiptTap

CONNECTED = b"CONNECTED\nserver:RabbitMQ/3.10.8\nversion:1.2\n\n\0\n"
ERROR = b"ERROR\nmessage:no\ncontent-length:3\n\na\0b\0"


def _receipt(number: int) -> bytes:
    return f"RECEIPT\nreceipt-id:1-{number}\n\n\0".encode()


class _Wire:
    """A socket that gives one piece at a time and then nothing."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    def recv(self, _size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""


def _read(*pieces: bytes) -> tuple[list[str], bytes]:
    """Return the receipts that were heard, and what stomp.py would read besides heart-beats."""
    wire = _Wire(list(pieces))
    transport: Any = SimpleNamespace(socket=wire, receive=lambda: wire.recv(1024))
    heard: list[str] = []
    tap = ReceiptTap(transport, heard.extend)
    passed = []
    while data := tap():
        passed.append(data)
    return heard, b"".join(data for data in passed if data != b"\n")


def test_receipts_are_heard_and_kept_from_stomp() -> None:
    heard, passed = _read(CONNECTED, _receipt(1) + _receipt(2), b"\n", _receipt(3))
    assert heard == ["1-1", "1-2", "1-3"]
    assert passed == CONNECTED


@pytest.mark.parametrize("cut", range(1, len(_receipt(1) + _receipt(2))))
def test_receipts_may_be_cut_anywhere(cut: int) -> None:
    data = _receipt(1) + _receipt(2)
    assert _read(CONNECTED, data[:cut], data[cut:]) == (["1-1", "1-2"], CONNECTED)


def test_stomp_sees_a_sign_of_life_when_something_came() -> None:
    wire = _Wire([CONNECTED, _receipt(1)])
    tap = ReceiptTap(SimpleNamespace(socket=wire, receive=lambda: wire.recv(1024)), lambda _receipts: None)
    assert [tap(), tap()] == [CONNECTED, b"\n"]


def test_an_error_that_comes_whole_leaves_the_tap_working() -> None:
    whole = b"ERROR\nmessage:no route\n\nwhy\0\n"
    assert _read(CONNECTED, whole, _receipt(1)) == (["1-1"], CONNECTED + whole)


@pytest.mark.parametrize(
    "pieces",
    [
        [ERROR, _receipt(1)],  # its body holds NUL: where it ends is for stomp.py to find out
        [ERROR[:20], ERROR[20:], _receipt(1)],
        [b"ERROR\nmessage:no\n\nwhy\0" + _receipt(1)],
        [b"RECEIPT\nreceipt-id:0b-1\n\n\0" + _receipt(1)],
    ],
)
def test_what_is_not_understood_to_the_byte_is_left_to_stomp_with_all_that_follows(pieces: list[bytes]) -> None:
    assert _read(CONNECTED, *pieces) == ([], CONNECTED + b"".join(pieces))


def test_a_body_that_looks_like_a_receipt_is_none() -> None:
    forged = b"ERROR\nmessage:no\ncontent-length:40\n\n\0" + _receipt(7)
    for cut in range(1, len(forged)):
        assert _read(CONNECTED, forged[:cut], forged[cut:])[0] == []


def test_a_login_that_is_refused_is_stomps_to_read() -> None:
    refusal = b"ERROR\nmessage:Bad CONNECT\n\nAccess refused\0"
    assert _read(refusal) == ([], refusal)
