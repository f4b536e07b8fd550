"""Producers that are not ours: STOMP frames byte by byte over a socket, and AMQP messages."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from django_outbox.testing.frames import Frame, FrameReader

if TYPE_CHECKING:
    from types import TracebackType

    from tests.rig.hostservices import RabbitMQ


@dataclass(frozen=True)
class Foreign:
    """One message of a stranger: header lines and body as bytes, or AMQP properties in place of the lines."""

    name: str
    body: bytes = b"{}"
    lines: tuple[bytes, ...] = ()
    properties: dict[str, Any] | None = None


class RawProducer:
    """A STOMP connection that writes what it is told, without escaping or checking anything."""

    def __init__(self, server: RabbitMQ) -> None:
        self._server = server
        self._wire: socket.socket
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    def __enter__(self) -> Self:
        server = self._server
        self._wire = socket.create_connection((server.host, server.stomp_port), timeout=30)
        headers = {"accept-version": "1.2", "host": server.vhost, "login": server.username, "passcode": server.passcode}
        self._wire.sendall(Frame("CONNECT", headers).encode())
        assert self._answer().command == "CONNECTED"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wire.close()

    def send(self, destination: str, lines: tuple[bytes, ...], body: bytes) -> bool:
        """Send one message and tell whether the broker took it; a refusal may cost the connection."""
        # Of headers with one name the first counts: the frame is whole, whatever the lines say.
        own = [b"destination:" + destination.encode(), b"receipt:sent", b"content-length:%d" % len(body)]
        head = [b"SEND", *own, *lines]
        self._wire.sendall(b"\n".join([*head, b"", b""]) + body + b"\0")
        return self._answer().command == "RECEIPT"

    def _answer(self) -> Frame:
        while not self._frames:
            data = self._wire.recv(65536)
            if not data:
                return Frame("CLOSED")
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)
