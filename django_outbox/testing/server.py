"""The broker in memory behind a real socket, for tests that run whole workers: threads, processes, both commands.

Speaks STOMP 1.2 as RabbitMQ does, as far as publishers and subscribers of this library go; no heartbeats, and of
transactions only empty ones. One thread reads and one writes for each connection, so a client that does not read holds
nobody up.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from django_outbox.testing.frames import Frame, FrameReader
from django_outbox.transport.addressing import address_of
from django_outbox.transport.base import Outgoing
from django_outbox.transport.memory import MemoryBroker, MemoryFatalError, MemoryRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from django_outbox.transport.queues import Taken

SERVER = "RabbitMQ/0.0.0 (django_outbox.testing)"
_LOOK_AGAIN_SECONDS = 0.02
_NOT_THE_MESSAGES = frozenset({"receipt", "content-length", "destination"})


class MemoryStompServer:
    """Serves a ``MemoryBroker`` on a port of this machine while its ``with`` block is open.

    ``settings`` is what to put into ``DJANGO_OUTBOX_PATTERN`` so that workers connect to it.
    """

    def __init__(self, broker: MemoryBroker | None = None) -> None:
        self.broker = MemoryBroker() if broker is None else broker
        self.host, self.port = "127.0.0.1", 0
        self._sessions: set[_Session] = set()
        self._listener: socket.socket | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that lead a worker here."""
        return {"DEFAULT_STOMP_HOST_AND_PORTS": [(self.host, self.port)], "DEFAULT_STOMP_USE_SSL": False}

    def __enter__(self) -> MemoryStompServer:
        self._listener = socket.create_server((self.host, self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listener is not None:
            # Closing alone does not wake the thread that waits in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self.cut()

    def go_down(self) -> None:
        """Cut every connection and refuse new ones, as a broker does that is being restarted."""
        self.broker.is_down = True
        self.cut()

    def come_back(self) -> None:
        """Take connections again; the queues are as they were."""
        self.broker.is_down = False

    def cut(self) -> None:
        """Cut every connection; what was not settled goes back to its queue."""
        for session in list(self._sessions):
            session.end()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                wire, _ = listener.accept()
            except OSError:
                return
            if self.broker.is_down:
                wire.close()
                continue
            session = _Session(wire, self.broker, self._sessions)
            self._sessions.add(session)
            session.begin()


class _Subscription:
    """One SUBSCRIBE: what the broker pushes messages to."""

    def __init__(self, session: _Session, headers: Mapping[str, str]) -> None:
        self.id = headers["id"]
        self.mode = headers.get("ack", "auto")
        self.auto = self.mode == "auto"
        self.prefetch = int(headers.get("prefetch-count", 0))
        self._session = session

    def deliver(self, taken: Taken) -> None:
        """Hand a message to the writing thread."""
        self._session.deliver(self, taken)


class _Session:
    """One connection: reads frames, does what they ask, and answers."""

    def __init__(self, wire: socket.socket, broker: MemoryBroker, register: set[_Session]) -> None:
        self._wire, self._broker, self._register = wire, broker, register
        self._name = f"session-{uuid.uuid4().hex[:12]}"
        self._outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._subscriptions: dict[str, _Subscription] = {}
        self._held: dict[str, tuple[_Subscription, Taken]] = {}
        self._closing = False
        self._has_sent = False

    def begin(self) -> None:
        """Start both threads."""
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def end(self) -> None:
        """Cut the connection and give back what it did not settle."""
        self._register.discard(self)
        self._outgoing.put(None)
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        for subscription in list(self._subscriptions.values()):
            self._broker.remove_consumer(subscription)
        self._subscriptions.clear()

    def deliver(self, subscription: _Subscription, taken: Taken) -> None:
        """Write a MESSAGE frame."""
        delivery = f"T_{subscription.id}@@{self._name}@@{taken.tag}"
        self._held[delivery] = (subscription, taken)
        headers = {
            **taken.message.headers,
            "subscription": subscription.id,
            "message-id": delivery,
            "redelivered": str(taken.message.redelivered).lower(),
        }
        if not subscription.auto:
            headers["ack"] = delivery
        self._answer("MESSAGE", headers, taken.message.body)

    def _read(self) -> None:
        reader = FrameReader()
        with contextlib.suppress(OSError):
            while not self._closing and (data := self._wire.recv(65536)):
                for frame in reader.feed(data):
                    self._handle(frame)
        if not self._closing:
            self.end()

    def _write(self) -> None:
        with contextlib.suppress(OSError):
            while (data := self._outgoing.get()) is not None:
                self._wire.sendall(data)
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)
        self._wire.close()

    def _handle(self, frame: Frame) -> None:
        while self._has_sent and self._broker.is_blocked and self in self._register:
            time.sleep(_LOOK_AGAIN_SECONDS)
        if self._closing:
            return
        self._has_sent = self._has_sent or frame.command == "SEND"
        try:
            answered = getattr(self, f"_on_{frame.command.lower()}", self._on_other)(frame) is not False
        except MemoryRefusedError as error:
            self._answer("ERROR", {"message": "not found"}, str(error))
            return
        except MemoryFatalError as error:
            self._end_with(str(error))
            return
        if answered and "receipt" in frame.headers:
            self._answer("RECEIPT", {"receipt-id": frame.headers["receipt"]})
        if frame.command == "DISCONNECT":
            self._part()

    def _on_connect(self, _frame: Frame) -> None:
        if self._broker.refuses_login:
            raise MemoryFatalError("Bad CONNECT: Access refused for user")
        self._broker.connects += 1
        self._answer("CONNECTED", {"version": "1.2", "server": SERVER, "session": self._name, "heart-beat": "0,0"})

    _on_stomp = _on_connect

    def _on_send(self, frame: Frame) -> bool:
        destination = frame.headers["destination"]
        if destination in self._broker.ignores:
            return False
        headers = {name: value for name, value in frame.headers.items() if name not in _NOT_THE_MESSAGES}
        self._broker.publish(Outgoing(uuid.uuid4(), destination, _as_text(frame.body), headers))
        return True

    def _on_subscribe(self, frame: Frame) -> bool:
        headers = frame.headers
        destination = headers["destination"]
        if destination in self._broker.ignores:
            return False
        try:
            address = address_of(destination)
        except ValueError as error:
            raise MemoryRefusedError(str(error)) from error
        name = address.queue or headers.get("x-queue-name") or f"stomp-subscription-{headers['id']}"
        if address.queue is None or address.declares:
            self._broker.declare(name, headers)
            self._broker.bind(name, destination)
        elif name not in self._broker.queues:
            raise MemoryFatalError(f"NOT_FOUND - no queue '{name}' in vhost '/'")
        subscription = self._subscriptions[headers["id"]] = _Subscription(self, headers)
        self._broker.add_consumer(name, subscription)
        return True

    def _on_unsubscribe(self, frame: Frame) -> None:
        subscription = self._subscriptions.pop(frame.headers["id"], None)
        if subscription is None:
            raise MemoryFatalError("Subscription not found")
        self._broker.remove_consumer(subscription)

    def _on_ack(self, frame: Frame) -> None:
        for taken in self._settled_by(frame):
            self._broker.ack(taken)

    def _on_nack(self, frame: Frame) -> None:
        requeue = frame.headers.get("requeue", "true").lower() == "true"
        for taken in self._settled_by(frame):
            self._broker.nack(taken, requeue=requeue)

    def _on_begin(self, _frame: Frame) -> None:
        """Nothing but the receipt: of transactions there are only empty ones."""

    _on_abort = _on_begin

    def _on_disconnect(self, _frame: Frame) -> None:
        """Nothing but the receipt."""

    def _on_other(self, frame: Frame) -> None:
        raise MemoryFatalError(f"The broker in memory does not know {frame.command}")

    def _settled_by(self, frame: Frame) -> list[Taken]:
        """Return the messages that a frame settles: with ack:client also those before."""
        delivery = frame.headers.get("id", frame.headers.get("message-id", ""))
        if delivery not in self._held:
            raise MemoryFatalError(f"Message not found: {delivery}")
        subscription, taken = self._held[delivery]
        settled = [delivery]
        if subscription.mode == "client":
            settled = [name for name, (of, held) in self._held.items() if of is subscription and held.tag <= taken.tag]
        return [self._held.pop(name)[1] for name in settled]

    def _answer(self, command: str, headers: Mapping[str, str], body: str = "") -> None:
        self._outgoing.put(Frame(command, headers, body.encode("utf-8", "surrogateescape")).encode())

    def _end_with(self, words: str) -> None:
        if words:
            self._answer("ERROR", {"message": words.partition(" - ")[0]}, words)
        self._part()

    def _part(self) -> None:
        """End once the answers are written."""
        self._closing = True
        self._register.discard(self)
        for subscription in list(self._subscriptions.values()):
            self._broker.remove_consumer(subscription)
        self._subscriptions.clear()
        self._outgoing.put(None)


def _as_text(body: bytes) -> str:
    return body.decode("utf-8", "surrogateescape")
