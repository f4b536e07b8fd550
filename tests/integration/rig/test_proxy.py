"""The proxy does to connections what the fault ledger says that it does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.rig.proxy import Door, Ends, Proxy
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE = 20  # seconds


class Echo:
    """A server that answers with what it is told and remembers how its connections ended."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.listener.getsockname()
        self.ends: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def end(self) -> None:
        """Accept no more, and let the thread that waits for connections go."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
                self.ends.append("closed")
            except OSError:
                self.ends.append("reset")


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.end()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as found:
        yield found


@pytest.fixture
def door(proxy: Proxy, echo: Echo) -> Door:
    return proxy.open("echo", echo.address)


def _connect(door: Door) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE)
    assert _ask(client, b"hello") == b"hello"
    return client


def _ask(client: socket.socket, words: bytes) -> bytes:
    client.sendall(words)
    return client.recv(1024)


def _is_silent(client: socket.socket, seconds: float = 0.3) -> bool:
    client.settimeout(seconds)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(DEADLINE)
    return False


def test_what_is_sent_arrives_in_order_both_ways(door: Door) -> None:
    words = bytes(range(256)) * 4096
    with _connect(door) as client:
        threading.Thread(target=client.sendall, args=(words,), daemon=True).start()
        found = b""
        while len(found) < len(words):
            found += client.recv(65536)
    assert found == words


def test_a_close_is_handed_on(door: Door, echo: Echo) -> None:
    _connect(door).close()
    wait_until("the server's end", lambda: echo.ends == ["closed"], seconds=DEADLINE)


def test_a_cut_resets_both_ends(proxy: Proxy, door: Door, echo: Echo) -> None:
    with _connect(door) as client:
        assert proxy.cut(door) == 1
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    wait_until("the server's end", lambda: echo.ends == ["reset"], seconds=DEADLINE)
    _connect(door).close()


def test_a_stalled_connection_gives_everything_once_it_goes_on(proxy: Proxy, door: Door) -> None:
    with _connect(door) as client:
        proxy.hold(door, requests=False, answers=True)
        client.sendall(b"later")
        assert _is_silent(client)
        proxy.hold(door, requests=False, answers=False)
        assert client.recv(1024) == b"later"


def test_connections_that_are_made_during_a_stall_wait_as_well(proxy: Proxy, door: Door) -> None:
    proxy.hold(door, requests=True, answers=True)
    with socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as client:
        client.sendall(b"later")
        assert _is_silent(client)
        proxy.hold(door, requests=False, answers=False)
        assert client.recv(1024) == b"later"


@pytest.mark.parametrize("ends", list(Ends))
def test_a_half_open_connection_is_known_to_at_most_one_end(proxy: Proxy, door: Door, echo: Echo, ends: Ends) -> None:
    with _connect(door) as client:
        dead = proxy.half_open(door, ends)
        if ends is Ends.SERVER:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            client.sendall(b"into the void")
            assert _is_silent(client)
        if ends is Ends.CLIENT:
            wait_until("the server's end", lambda: echo.ends == ["reset"], seconds=DEADLINE)
        else:
            assert echo.ends == []
        _connect(door).close()
        proxy.bury(dead)
        if ends is not Ends.SERVER:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        wait_until("the server's end", lambda: sorted(echo.ends) == ["closed", "reset"], seconds=DEADLINE)


def test_a_slow_connection_takes_its_time_each_way(proxy: Proxy, door: Door) -> None:
    with _connect(door) as client:
        proxy.delay(door, 0.1)
        began = time.monotonic()
        assert _ask(client, b"slowly") == b"slowly"
        assert time.monotonic() - began >= 0.2
        proxy.delay(door, 0.0)
        assert _ask(client, b"quickly") == b"quickly"


def test_what_was_sent_slowly_and_then_quickly_arrives_in_order(proxy: Proxy, door: Door) -> None:
    with _connect(door) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        proxy.delay(door, 0.5)
        client.sendall(b"first ")
        proxy.delay(door, 0.0)
        words = b"".join(b"%04d " % number for number in range(400))
        for begin in range(0, len(words), 5):
            client.sendall(words[begin : begin + 5])
            time.sleep(0.0002)  # so that each is a piece of its own
        found = b""
        while len(found) < len(words) + 6:
            found += client.recv(65536)
    assert found == b"first " + words


def test_a_server_that_is_away_is_a_closed_connection(proxy: Proxy, echo: Echo, door: Door) -> None:
    echo.end()
    # The reset may come before connect() has returned.
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", door.port), timeout=DEADLINE) as client,
    ):
        client.recv(1)
