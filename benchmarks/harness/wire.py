"""STOMP by hand on a plain socket: what fills queues, and the ceiling that no client library can pass.

Frames are made before the clock starts; one thread writes and reads, so that a broker that throttles the writer still
gets rid of its receipts.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rig.hostservices import RabbitMQ

_CHUNK = 65536
_SILENCE_SECONDS = 60


def body(number: int) -> str:
    """Return a body of 200 bytes."""
    start = json.dumps({"n": number, "pad": ""})
    return json.dumps({"n": number, "pad": "x" * (200 - len(start))})


def message_headers(destination: str) -> dict[str, str]:
    """Return the headers that either product sends with a message."""
    return {
        "persistent": "true",
        "content-type": "application/json",
        "dop-msg-id": str(uuid.uuid4()),
        "dop-msg-destination": destination,
        "dop-msg-type": "Published",
        "dop-msg-sent-time": datetime.now(UTC).isoformat(),
        "dop-correlation-id": str(uuid.uuid4()),
    }


def frame(command: str, headers: Mapping[str, str], text: str = "") -> bytes:
    """Return one frame; the values need no escaping, they are ours."""
    lines = [command, *(f"{name}:{value}" for name, value in headers.items())]
    return ("\n".join(lines) + "\n\n" + text + "\0").encode()


def connect(rabbitmq: RabbitMQ) -> socket.socket:
    """Open a connection and log in."""
    link = socket.create_connection((rabbitmq.host, rabbitmq.stomp_port), timeout=10)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    login = {"login": rabbitmq.username, "passcode": rabbitmq.passcode}
    link.sendall(frame("CONNECT", {"accept-version": "1.2", "host": rabbitmq.vhost, **login}))
    answer = b""
    while b"\0" not in answer:
        received = link.recv(4096)
        if not received:
            break
        answer += received
    if not answer.startswith(b"CONNECTED"):
        raise ConnectionError(f"the broker refused the login: {answer!r}")
    return link


def send_confirmed(rabbitmq: RabbitMQ, destination: str, messages: Sequence[tuple[str, Mapping[str, str]]]) -> float:
    """Send messages with a receipt each and return the seconds until the last receipt."""
    frames = [
        frame(
            "SEND", {"destination": destination, "receipt": str(n), "content-length": str(len(text)), **headers}, text
        )
        for n, (text, headers) in enumerate(messages)
    ]
    with connect(rabbitmq) as link:
        started = time.monotonic()
        exchange(link, b"".join(frames), b"RECEIPT\n", len(frames))
        return time.monotonic() - started


def exchange(link: socket.socket, data: bytes, answer: bytes, count: int) -> None:
    """Write all of ``data`` while reading, until ``count`` frames that begin with ``answer`` have come."""
    link.setblocking(False)
    rest, seen, held = memoryview(data), 0, b""
    with selectors.DefaultSelector() as selector:
        selector.register(link, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while seen < count:
            ready = selector.select(_SILENCE_SECONDS)
            if not ready:
                raise TimeoutError(f"{seen} of {count} answers, then silence")
            events = ready[0][1]
            if events & selectors.EVENT_WRITE:
                rest = rest[link.send(rest[:_CHUNK]) :]
                if not rest:
                    selector.modify(link, selectors.EVENT_READ)
            if events & selectors.EVENT_READ:
                received = link.recv(_CHUNK)
                if not received:
                    raise ConnectionError(f"{seen} of {count} answers, then the end: {held[-500:]!r}")
                *frames, held = (held + received).split(b"\0")
                seen += sum(answer in part for part in frames)
    link.setblocking(True)


class Reader:
    """A subscriber that acknowledges what it reads, each by itself; a context manager."""

    def __init__(self, rabbitmq: RabbitMQ, destination: str, *, prefetch: int = 1000) -> None:
        self._link = connect(rabbitmq)
        self._held = b""
        subscription = {"id": "1", "destination": destination, "ack": "client-individual"}
        self._link.sendall(frame("SUBSCRIBE", subscription | {"prefetch-count": str(prefetch)}))
        self._link.settimeout(_SILENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_unused: object) -> None:
        self._link.close()

    def texts(self) -> list[str]:
        """Wait for messages, acknowledge them and return their bodies."""
        received = self._link.recv(_CHUNK)
        if not received:
            raise ConnectionError(f"the broker closed the connection: {self._held[-500:]!r}")
        *frames, self._held = (self._held + received).split(b"\0")
        acks, texts = [], []
        for part in frames:
            head, _, text = part.lstrip(b"\n").partition(b"\n\n")
            if not head.startswith(b"MESSAGE"):
                raise ConnectionError(f"not a message: {part!r}")
            ack = next(line for line in head.split(b"\n") if line.startswith(b"ack:"))
            acks.append(b"ACK\nid:" + ack[4:] + b"\n\n\0")
            texts.append(text.decode())
        self._link.sendall(b"".join(acks))
        return texts

    def bodies(self) -> list[dict[str, Any]]:
        """Wait for messages, acknowledge them and return what their bodies say."""
        return [json.loads(text) for text in self.texts()]

    def finish(self) -> None:
        """Say goodbye and wait for the answer, which says that everything before it was read."""
        exchange(self._link, frame("DISCONNECT", {"receipt": "bye"}), b"RECEIPT\n", 1)


def receive_all(rabbitmq: RabbitMQ, destination: str, count: int) -> list[str]:
    """Receive and acknowledge ``count`` messages and return their bodies."""
    texts: list[str] = []
    with Reader(rabbitmq, destination) as reader:
        while len(texts) < count:
            texts += reader.texts()
        reader.finish()
    return texts
