"""The socket under a connection of stomp.py: opened by us, with TLS that verifies, alike on stomp.py 8 and 9.

stomp.py 8 verifies no certificate unless it is given authorities, and reads and writes one TLS socket from two threads,
which OpenSSL does not allow. stomp.py 9 puts writes in a queue whose failures nobody hears. So ``Dialer`` takes the
place of ``attempt_connection`` and hands stomp.py a socket that blocks, fails when the broker does not take what is
sent, and keeps the two threads apart. ``transport.stomp`` installs it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stomp.exception import ConnectFailedException

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# What OpenSSL puts in one record.
_RECORD_BYTES = 16384
# A socket that another thread closed wakes nobody who polls it.
_LOOK_SECONDS = 1.0


class TlsRefused(ConnectFailedException):  # type: ignore[misc]
    """The certificate of the broker, or ours, was not accepted; the message says what to do."""


class TlsSocket:
    """A TLS connection that one thread may read while another writes.

    ``send_timeout`` bounds a write in seconds, None is for ever. ``problem`` is what ended the connection, if TLS did.
    """

    def __init__(self, wire: ssl.SSLSocket) -> None:
        wire.setblocking(False)
        self._wire = wire
        self._lock = threading.Lock()
        self.send_timeout: float | None = None
        self.problem: str | None = None

    @property
    def tls(self) -> ssl.SSLSocket:
        """Return what knows the session: its version, the peer's certificate."""
        return self._wire

    def recv(self, size: int) -> bytes:
        """Wait for bytes and return them, empty when the other side is gone."""
        while True:
            with self._lock:
                try:
                    return self._wire.recv(size)
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
                except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    return b""
                except ssl.SSLError as error:
                    self.problem = words_of(error)
                    raise
            self._wait(event, None)

    def sendall(self, data: bytes) -> None:
        """Send everything. Raises ``BlockingIOError`` when the other side does not take it within ``send_timeout``."""
        deadline = None if self.send_timeout is None else time.monotonic() + self.send_timeout
        rest = memoryview(data)
        while rest:
            with self._lock:
                try:
                    rest = rest[self._wire.send(rest[:_RECORD_BYTES]) :]
                    continue
                except ssl.SSLWantReadError:
                    event = select.POLLIN
                except ssl.SSLWantWriteError:
                    event = select.POLLOUT
                except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
                    raise  # Why, the reader has heard.
                except ssl.SSLError as error:
                    self.problem = self.problem or words_of(error)
                    raise
            self._wait(event, deadline)

    def shutdown(self, how: int) -> None:
        """End the connection under TLS, which wakes up who reads."""
        socket.socket.shutdown(self._wire, how)

    def close(self) -> None:
        """Close it."""
        with self._lock:
            self._wire.close()

    def getsockname(self) -> Any:
        """Return the own address."""
        return self._wire.getsockname()

    def setsockopt(self, *arguments: Any) -> None:
        """Set an option of the socket."""
        self._wire.setsockopt(*arguments)

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: reads never end early, writes have ``send_timeout``."""

    def setblocking(self, _flag: bool) -> None:
        """Do nothing: this socket blocks."""

    def fileno(self) -> int:
        """Return the descriptor, -1 when it is closed."""
        return self._wire.fileno()

    def _wait(self, event: int, deadline: float | None) -> None:
        left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
        if left <= 0:
            raise BlockingIOError("the broker does not read")
        poll = select.poll()
        try:
            poll.register(self._wire, event)
        except ValueError as error:
            raise OSError("the connection is closed") from error
        poll.poll(left * 1000)


@dataclass(frozen=True)
class TlsSettings:
    """How TLS is spoken: with this context, and with a further check of the project's own."""

    context: ssl.SSLContext
    validator: Callable[..., tuple[bool, str]] | None = None


@dataclass
class Dialer:
    """Opens the connection of one stomp.py transport; tries the hosts in their order, once each.

    ``timeout`` in seconds is for TCP and the TLS handshake, each. ``tls`` None is plain TCP.
    """

    transport: Any
    hosts: Sequence[tuple[str, int]]
    tls: TlsSettings | None
    timeout: float | None
    _opened: TlsSocket | None = field(default=None, init=False)

    def __call__(self) -> None:
        """Connect, as ``attempt_connection`` does. Raises ``ConnectFailedException`` in words, or ``TlsRefused``."""
        problems, refused = [], False
        for host, port in self.hosts:
            try:
                self.transport.socket = self._connect(host, port)
            except TlsRefused as error:
                refused = True
                problems.append(str(error))
            except (OSError, ValueError) as error:
                problems.append(str(error) or type(error).__name__)
            else:
                self.transport.current_host_and_port = (host, port)
                return
        raise (TlsRefused if refused else ConnectFailedException)("; ".join(problems))

    def problem(self) -> str | None:
        """Return why TLS ended the connection, None when it did not."""
        return self._opened.problem if self._opened else None

    def _connect(self, host: str, port: int) -> socket.socket | TlsSocket:
        plain = socket.create_connection((host, port), self.timeout)
        if self.tls is None:
            plain.settimeout(None)
            return plain
        wire: socket.socket = plain
        try:
            wire = secured = self.tls.context.wrap_socket(plain, server_hostname=host)
            self._validate(secured, host)
        except BaseException as error:
            wire.close()
            if isinstance(error, ssl.SSLError):
                raise TlsRefused(words_of(error)) from error
            raise
        self._opened = TlsSocket(secured)
        return self._opened

    def _validate(self, wire: ssl.SSLSocket, host: str) -> None:
        """Ask the project's own check, if there is one."""
        validator = self.tls.validator if self.tls else None
        accepted, why = validator(wire.getpeercert(), host) if validator else (True, "")
        if not accepted:
            raise TlsRefused(f"DEFAULT_STOMP_CERT_VALIDATOR does not accept the broker's certificate: {why}")


def bound_sending(wire: Any, seconds: float) -> None:
    """Make a write fail that the broker does not take within ``seconds``: it stops reading when its memory runs out."""
    if wire is None:
        return
    if isinstance(wire, TlsSocket):
        wire.send_timeout = seconds
    whole, fraction = divmod(seconds, 1)
    with contextlib.suppress(OSError):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(whole), int(fraction * 1e6)))
    send_at_once(wire)


def send_at_once(wire: Any) -> None:
    """Let no frame wait for TCP's acknowledgement of those before it; a socket that is gone is left alone."""
    with contextlib.suppress(OSError, AttributeError):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def words_of(error: ssl.SSLError) -> str:
    """Return what TLS complains of, with what a person can do about it."""
    words = getattr(error, "verify_message", "") or str(error.reason or error).replace("_", " ").lower()
    for complaint, advice in _ADVICE.items():
        if complaint in words.lower():
            return f"TLS: {words.rstrip('.')}. {advice}"
    return f"TLS: {words}"


_AUTHORITY = (
    "Set DEFAULT_STOMP_CA_CERTS to the file of the authority that signed the broker's certificate; without it the "
    "system's authorities are asked"
)
_CLIENT = "Set DEFAULT_STOMP_CERT_FILE and DEFAULT_STOMP_KEY_FILE to a client certificate that the broker accepts"
_HUNG_UP = "The other side hung up: perhaps that port speaks no TLS; the broker's TLS port is often 61614"
# The more telling words first; how a failure is worded depends on the versions of Python and OpenSSL.
_ADVICE = {
    "has expired": "Renew the broker's certificate",
    "not yet valid": "Compare the clocks of this machine and of the broker",
    "hostname mismatch": "Name the broker in DEFAULT_STOMP_HOST_AND_PORTS as its certificate does",
    "ip address mismatch": "Name the broker in DEFAULT_STOMP_HOST_AND_PORTS as its certificate does",
    "doesn't match": "Name the broker in DEFAULT_STOMP_HOST_AND_PORTS as its certificate does",
    "issuer certificate": _AUTHORITY,
    "self-signed": _AUTHORITY,
    "self signed": _AUTHORITY,
    "unable to verify": _AUTHORITY,
    "certificate signature failure": _AUTHORITY,
    "certificate required": _CLIENT,
    "handshake failure": _CLIENT,
    "bad certificate": _CLIENT,
    "unknown ca": _CLIENT,
    "certificate unknown": _CLIENT,
    "wrong version number": "That port speaks no TLS: use the broker's TLS port, often 61614",
    "unexpected eof": _HUNG_UP,
    "closed (eof)": _HUNG_UP,
    "record layer failure": "That port speaks no TLS: use the broker's TLS port, often 61614",
}
