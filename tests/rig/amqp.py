"""The exact number of messages in a RabbitMQ queue, now.

The management API samples queue lengths every few seconds, and tests must not sleep for that. AMQP 0-9-1's passive
`queue.declare` answers with the live count, so this speaks just enough of the protocol to send one.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import BinaryIO

from tests.rig.waiting import RigError

_METHOD, _END = 1, b"\xce"
_START, _TUNE, _OPEN_OK, _CHANNEL_OPEN_OK, _CHANNEL_CLOSE = (10, 10), (10, 30), (10, 41), (20, 11), (20, 40)
_DECLARE_OK = (50, 11)


@dataclass(frozen=True)
class QueueCount:
    """What waits in a queue (delivered but unacknowledged messages are not in it), and who consumes it."""

    ready: int
    consumers: int


@dataclass(frozen=True)
class Account:
    """Who asks, and where."""

    host: str
    port: int
    username: str
    password: str
    vhost: str = "/"


def count(account: Account, queue: str) -> QueueCount | None:
    """Ask the broker for the queue's count; None when there is no such queue. Raises OSError, RigError."""
    with socket.create_connection((account.host, account.port), timeout=10) as link:
        stream = link.makefile("rb")
        link.sendall(b"AMQP\x00\x00\x09\x01")
        _expect(stream, _START)
        plain = f"\0{account.username}\0{account.password}".encode()
        link.sendall(
            _method(
                0,
                (10, 11),
                struct.pack(">I", 0) + _short("PLAIN") + struct.pack(">I", len(plain)) + plain + _short("en_US"),
            )
        )
        limits = _expect(stream, _TUNE)[:6]
        link.sendall(_method(0, (10, 31), limits + struct.pack(">H", 0)))
        link.sendall(_method(0, (10, 40), _short(account.vhost) + _short("") + b"\0"))
        _expect(stream, _OPEN_OK)
        link.sendall(_method(1, (20, 10), _short("")))
        _expect(stream, _CHANNEL_OPEN_OK)
        passive = b"\x01"
        link.sendall(_method(1, (50, 10), b"\0\0" + _short(queue) + passive + struct.pack(">I", 0)))
        key, body = _read(stream)
        link.sendall(_method(0, (10, 50), struct.pack(">H", 200) + _short("") + b"\0\0\0\0"))
    if key == _CHANNEL_CLOSE and struct.unpack(">H", body[:2])[0] == 404:
        return None
    if key != _DECLARE_OK:
        raise RigError(f"the broker refused to count {queue!r}: {body!r}")
    ready, consumers = struct.unpack(">II", body[1 + body[0] :])
    return QueueCount(ready, consumers)


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes([len(encoded)]) + encoded


def _method(channel: int, key: tuple[int, int], arguments: bytes) -> bytes:
    payload = struct.pack(">HH", *key) + arguments
    return struct.pack(">BHI", _METHOD, channel, len(payload)) + payload + _END


def _read(stream: BinaryIO) -> tuple[tuple[int, int], bytes]:
    while True:
        head = stream.read(7)
        if len(head) < 7:
            raise ConnectionError("the broker closed the connection")
        kind, _, size = struct.unpack(">BHI", head)
        payload = stream.read(size + 1)[:-1]
        if kind == _METHOD:
            group, name = struct.unpack(">HH", payload[:4])
            return (group, name), payload[4:]


def _expect(stream: BinaryIO, key: tuple[int, int]) -> bytes:
    found, body = _read(stream)
    if found != key:
        raise RigError(f"the broker answered with AMQP method {found}, not {key}: {body!r}")
    return body
