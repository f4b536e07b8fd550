"""A queue of any broker that speaks STOMP, as somebody sees it who is not of the product: put in, taken out."""

from __future__ import annotations

import queue
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import stomp

from tests.rig.waiting import RigTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS = 60


class Server(Protocol):
    """A broker that speaks STOMP."""

    host: str
    stomp_port: int
    username: str
    passcode: str
    vhost: str


@dataclass(frozen=True)
class Message:
    """A message as it arrived."""

    body: str
    headers: Mapping[str, str]


class _Ear(stomp.ConnectionListener):  # type: ignore[misc]
    """Keeps what arrives, in order."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self.receipts: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.error = "the broker said no error"

    def on_message(self, frame: Any) -> None:
        self.messages.put(Message(frame.body, dict(frame.headers)))

    def on_receipt(self, frame: Any) -> None:
        self.receipts.put(frame.headers["receipt-id"])

    def on_error(self, frame: Any) -> None:
        self.error = f"{frame.headers.get('message')} {frame.body}"


@dataclass
class StompQueue:
    """A destination that is a queue; ``sending`` and ``reading`` are what its broker wants to be told besides."""

    server: Server
    destination: str
    sending: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, str] = field(default_factory=dict)

    def put(self, body: str, **headers: str) -> None:
        """Publish one persistent message, and wait for the broker's confirm."""
        connection, ear = self._connect()
        self._send(connection, ear, body, {name.replace("_", "-"): value for name, value in headers.items()})
        connection.disconnect()

    def take(self) -> list[Message]:
        """Take out all that is in it, in order: what comes before a message of our own that is put behind it."""
        connection, ear = self._connect()
        end = str(uuid.uuid4())
        self._send(connection, ear, end, {})
        connection.subscribe(self.destination, end, ack="auto", headers=dict(self.reading))
        taken: list[Message] = []
        deadline = time.monotonic() + _SECONDS
        while not taken or taken[-1].body != end:
            try:
                taken.append(ear.messages.get(timeout=max(0, deadline - time.monotonic())))
            except queue.Empty:
                raise RigTimeoutError(f"{self.destination}: {len(taken)} messages came, not all: {ear.error}") from None
        connection.disconnect()
        return taken[:-1]

    def _connect(self) -> tuple[Any, _Ear]:
        server, ear = self.server, _Ear()
        connection = stomp.StompConnection12([(server.host, server.stomp_port)], vhost=server.vhost)
        connection.set_listener("ear", ear)
        connection.connect(server.username, server.passcode, wait=True)
        return connection, ear

    def _send(self, connection: Any, ear: _Ear, body: str, headers: Mapping[str, str]) -> None:
        receipt = str(uuid.uuid4())
        headers = {"persistent": "true", **self.sending, **headers}
        connection.send(self.destination, body, headers=headers, receipt=receipt)
        try:
            assert ear.receipts.get(timeout=_SECONDS) == receipt
        except queue.Empty:
            raise RigTimeoutError(f"{self.destination}: a message was not confirmed: {ear.error}") from None
