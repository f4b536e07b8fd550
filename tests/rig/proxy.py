"""A TCP proxy that breaks connections on purpose: cut, stalled, half-open, slow.

``Proxy`` runs an event loop in a thread of its own; each ``Door`` listens on a free port and leads to one server. What
is done to a door is done to the connections through it, from any thread. Used by the fault ledger (tests/chaos).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
import threading
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"
# How much a side may hold back before the other is told to stop sending.
_BUFFER_LIMIT = 256 * 1024


class Ends(Enum):
    """Who is left in ignorance by a half-open connection."""

    BOTH = "no end knows"
    CLIENT = "the server knows"
    SERVER = "the worker knows"


@dataclass
class Door:
    """One way to one server. Faults are applied by ``Proxy``'s methods."""

    name: str
    upstream: tuple[str, int]
    port: int = 0  # chosen when it is opened
    pairs: set[_Pair] = field(default_factory=set)
    requests_held: bool = False
    answers_held: bool = False
    delay: float = 0.0  # seconds for each piece of data
    opened: int = 0


class _Pair:
    """A client's connection and the one that was made for it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.client = _Side(self, is_client=True)
        self.server = _Side(self, is_client=False)
        self.client.other, self.server.other = self.server, self.client
        self.deaf = False
        door.pairs.add(self)

    def hold(self) -> None:
        """Read from each side only what may pass now."""
        self.client.read(not self.door.requests_held)
        self.server.read(not self.door.answers_held)

    def abort(self) -> None:
        """Reset both connections."""
        self.door.pairs.discard(self)
        self.client.reset()
        self.server.reset()


class _Side(asyncio.Protocol):
    """One connection of a pair; hands what it reads to the other."""

    def __init__(self, pair: _Pair, *, is_client: bool) -> None:
        self.pair = pair
        self.is_client = is_client
        self.transport: asyncio.Transport | None = None
        self.other: _Side = self
        self._waiting: list[bytes] = []
        self._free_at = 0.0
        self._delayed = 0
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(_BUFFER_LIMIT)
        wire = self.transport.get_extra_info("socket")
        if wire is not None:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.is_client:
            asyncio.get_running_loop().create_task(self._reach_server())
        for data in self._waiting:
            self.transport.write(data)
        self._waiting.clear()
        # Not at once: a transport that is paused in here starts reading all the same on Python 3.11.2 (Debian 12).
        asyncio.get_running_loop().call_soon(self.pair.hold)

    async def _reach_server(self) -> None:
        pair = self.pair
        try:
            await asyncio.get_running_loop().create_connection(lambda: pair.server, *pair.door.upstream)
        except OSError:
            pair.abort()
        else:
            if pair not in pair.door.pairs:
                pair.abort()

    def data_received(self, data: bytes) -> None:
        if self.pair.deaf:
            return
        delay = self.pair.door.delay
        loop = asyncio.get_running_loop()
        if not delay and not self._delayed:
            self.other.write(data)
            return
        # In order, also when the door has become quick again meanwhile: calls for the same moment come in any order.
        self._free_at = max(math.nextafter(self._free_at, math.inf), loop.time() + delay)
        self._delayed += 1
        loop.call_at(self._free_at, self._let_go, data)

    def _let_go(self, data: bytes) -> None:
        self._delayed -= 1
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send on, unless the connection is gone or nobody is to hear of it."""
        if self.pair.deaf:
            return
        if self.transport is None:
            self._waiting.append(data)
        elif not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.other.fill(True)

    def resume_writing(self) -> None:
        self.other.fill(False)

    def fill(self, full: bool) -> None:
        """Stop reading while the other side cannot take more."""
        self._full = full
        self.pair.hold()

    def read(self, wanted: bool) -> None:
        """Read, or leave the bytes where they are."""
        if self.transport is None or self.transport.is_closing():
            return
        with contextlib.suppress(RuntimeError):
            if wanted and not self._full:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.pair.deaf:
            return
        self.pair.door.pairs.discard(self.pair)
        if exc is not None:
            self.other.reset()
        elif self.other.transport is not None:
            asyncio.get_running_loop().call_later(self.pair.door.delay, self.other.transport.close)

    def reset(self) -> None:
        """Close with a reset, as a machine does that knows nothing of the connection."""
        if self.transport is None or self.transport.is_closing():
            return
        wire = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Proxy:
    """The doors and the thread that serves them; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._servers: list[asyncio.Server] = []

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._call(self._close_all)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def open(self, name: str, upstream: tuple[str, int]) -> Door:
        """Open a door to a server."""
        door = Door(name, upstream)

        async def listen() -> None:
            def client() -> _Side:
                door.opened += 1
                return _Pair(door).client

            server = await self._loop.create_server(client, HOST, door.port)
            door.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)

        asyncio.run_coroutine_threadsafe(listen(), self._loop).result(10)
        return door

    def cut(self, door: Door) -> int:
        """Reset every connection through the door; return how many there were."""
        return int(self._call(lambda: self._abort(door.pairs)))

    def hold(self, door: Door, *, requests: bool, answers: bool) -> None:
        """Hold back the bytes of one way or of both, new connections' too, until called again with False."""

        def apply() -> None:
            door.requests_held, door.answers_held = requests, answers
            for pair in list(door.pairs):
                pair.hold()

        self._call(apply)

    def delay(self, door: Door, seconds: float) -> None:
        """Let each piece of data take so long; 0 ends that."""
        self._call(lambda: setattr(door, "delay", seconds))

    def half_open(self, door: Door, ends: Ends) -> set[Any]:
        """Swallow all that goes through the present connections, and tell at most one of their ends that it is over.

        New connections work. Returns the connections for ``bury``.
        """

        def apply() -> set[_Pair]:
            dead = set(door.pairs)
            for pair in dead:
                pair.deaf = True
                pair.client.read(True)
                pair.server.read(True)
                if ends is Ends.CLIENT:
                    pair.server.reset()
                elif ends is Ends.SERVER:
                    pair.client.reset()
            return dead

        return cast("set[Any]", self._call(apply))

    def bury(self, dead: set[Any]) -> None:
        """End half-open connections: whoever still waits there is told now."""
        self._call(lambda: self._abort(dead))

    @staticmethod
    def _abort(pairs: set[_Pair]) -> int:
        chosen = list(pairs)
        for pair in chosen:
            pair.abort()
        return len(chosen)

    def _close_all(self) -> None:
        for server in self._servers:
            server.close()
        for task in asyncio.all_tasks(self._loop) - {asyncio.current_task(self._loop)}:
            task.cancel()

    def _call(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(10)
