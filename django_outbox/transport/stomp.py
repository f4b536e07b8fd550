"""The STOMP connection: how one is opened, closed and watched, for publishers and consumers alike.

``open_connection`` is the only code that puts credentials and virtual host on a connection and waits for the broker's
answer; ``factories.factory_connection`` shares its beginning (``build_connection``). A connection is used once: to
reconnect, open a new one. ``wire`` opens the socket, ``tls`` says how it is verified, ``reading`` reads from it. Works
with stomp.py 8 and 9.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string
from stomp import StompConnection12
from stomp.exception import StompException
from stomp.listener import ConnectionListener
from stomp.transport import Transport

from django_outbox import settings
from django_outbox.dialects import dialect_of
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.transport.quiet import hush
from django_outbox.transport.reading import WholeFrames
from django_outbox.transport.tls import arguments_of_set_ssl, tls_settings
from django_outbox.transport.wire import Dialer, TlsRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from django_outbox.dialects import Dialect

# TCP and TLS; a host that swallows packets would otherwise hold a worker for minutes.
CONNECT_TIMEOUT_SECONDS = 10.0
# From the CONNECT frame to the broker's answer.
ANSWER_TIMEOUT_SECONDS = 15.0
CLOSE_TIMEOUT_SECONDS = 2.0

_WATCH_NAME = "outbox-watch"
# The broker's words in the log and on a row: enough to understand, not the whole of a message it may echo.
_DETAIL_LIMIT = 500


class ConnectionWatch(ConnectionListener):  # type: ignore[misc]
    """Knows what became of one connection: answered, refused, lost, and in which words of the broker."""

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.lost = threading.Event()
        self.connected = False
        self.error: str | None = None
        self.server: str | None = None

    def on_connected(self, frame: Any) -> None:
        """Note that the broker accepted the login, and what it calls itself."""
        self.server = (frame.headers or {}).get("server")
        self.connected = True
        self.answered.set()

    def on_error(self, frame: Any) -> None:
        """Keep the broker's words; before the login is accepted they are its refusal."""
        self.error = describe_error(frame)
        self.answered.set()

    def on_disconnected(self) -> None:
        """Note that the connection is gone."""
        self.connected = False
        self.lost.set()
        self.answered.set()


@dataclass
class OpenConnection:
    """A connection that the broker accepted, with the watch over it. The repr holds no credentials."""

    connection: Any = field(repr=False)
    watch: ConnectionWatch = field(repr=False)
    host: str

    @property
    def dialect(self) -> Dialect:
        """How this broker wants things said."""
        return dialect_of(self.watch.server)

    def is_connected(self) -> bool:
        """Tell whether the connection stands, as far as is known."""
        return self.watch.connected and not self.watch.lost.is_set() and bool(self.connection.is_connected())

    def close(self, timeout: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """Say goodbye, wait ``timeout`` seconds for the broker's answer, then cut; never raises."""
        with contextlib.suppress(StompException, OSError, AttributeError):
            if self.is_connected():
                self.connection.disconnect()
                self.watch.lost.wait(timeout)
        abort(self.connection)


def build_connection(
    heartbeats: tuple[int, int] | None, hosts: Sequence[tuple[str, int]] | None = None, **options: Any
) -> Any:
    """Return a connection as the settings describe it, not connected yet.

    ``hosts`` default to those of the settings. ``options`` go to ``DEFAULT_CONNECTION_CLASS`` as they are, except those
    that its signature does not know.
    """
    hush()
    hosts = configured_hosts() if hosts is None else list(hosts)
    connection_class = import_string(settings.DEFAULT_CONNECTION_CLASS)
    arguments: dict[str, Any] = {"host_and_ports": hosts, "vhost": settings.DEFAULT_STOMP_VHOST}
    if heartbeats is not None:
        arguments["heartbeats"] = tuple(heartbeats)
    arguments |= {name: value for name, value in options.items() if _accepts(connection_class, name)}
    connection = connection_class(**arguments)
    transport = getattr(connection, "transport", None)
    if isinstance(transport, Transport):
        tls = tls_settings() if settings.DEFAULT_STOMP_USE_SSL else None
        transport.attempt_connection = Dialer(transport, hosts, tls, options.get("timeout"))
        if type(transport).receive is Transport.receive:
            transport.receive = WholeFrames(transport)
    elif settings.DEFAULT_STOMP_USE_SSL:
        # A transport of another kind (WebSocket) opens its connection itself.
        connection.set_ssl(for_hosts=hosts, **arguments_of_set_ssl(connection))
    return connection


def open_connection(
    role: str,
    listener: ConnectionListener | None = None,
    heartbeats: tuple[int, int] | None = None,
    prepare: Callable[[Any], None] | None = None,
    **options: Any,
) -> OpenConnection:
    """Connect, log in, and return the connection once a broker accepted it; they are tried in the settings' order.

    ``role`` says in errors and logs what it is for. ``listener`` hears every frame of the connection that is accepted
    from the first on, and ``prepare`` is called with each connection before it is opened. ``heartbeats`` default to
    ``DEFAULT_STOMP_HEARTBEATS``; (0, 0) turns them off. Raises ``BrokerUnavailable``, ``BrokerRefused``, or
    ``ConfigurationError`` for TLS files that cannot be read.
    """
    wanted = settings.DEFAULT_STOMP_HEARTBEATS if heartbeats is None else heartbeats
    defaults = {"timeout": CONNECT_TIMEOUT_SECONDS, "reconnect_attempts_max": 1}
    problems: list[BrokerUnavailable | BrokerRefused] = []
    for host in configured_hosts():
        connection = build_connection(wanted, [host], **{**defaults, **options})
        if prepare is not None:
            prepare(connection)
        try:
            return _open(connection, host, role, listener)
        except (BrokerUnavailable, BrokerRefused) as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    refused = any(isinstance(problem, BrokerRefused) for problem in problems)
    words = " ".join(map(str, problems)) or "DEFAULT_STOMP_HOST_AND_PORTS names no broker."
    raise (BrokerRefused if refused else BrokerUnavailable)(words)


def _open(connection: Any, host: tuple[str, int], role: str, listener: ConnectionListener | None) -> OpenConnection:
    # The timeout is for connecting only: with one on reads, stomp.py takes a quiet broker for a dead one.
    connection.transport.blocking = True
    watch = ConnectionWatch()
    # stomp.py calls listeners in the order of their names: the watch must know before the others act.
    connection.set_listener(_WATCH_NAME, watch)
    if listener is not None:
        connection.set_listener(f"{_WATCH_NAME}-{role}", _AcceptedOnly(listener))
    name = f"{host[0]}:{host[1]}"
    _log_in(connection, watch, role, name)
    return OpenConnection(connection=connection, watch=watch, host=name)


class _AcceptedOnly:
    """Lets a listener hear a connection only when the broker accepted it: another host may be tried after this one."""

    def __init__(self, listener: ConnectionListener) -> None:
        self._listener = listener
        self._kept: list[tuple[str, tuple[Any, ...]]] | None = []

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("on_") or not hasattr(self._listener, name):
            raise AttributeError(name)
        return functools.partial(self._hear, name)

    def _hear(self, name: str, *arguments: Any) -> Any:
        kept = self._kept
        if kept is not None and name != "on_connected":
            kept.append((name, arguments))
            return None
        self._kept = None
        for earlier, its_arguments in kept or ():
            getattr(self._listener, earlier)(*its_arguments)
        return getattr(self._listener, name)(*arguments)


def is_plain(connection: Any) -> bool:
    """Tell whether frames may go past the connection's methods: a class of the project's own wants to see each."""
    return type(connection) is StompConnection12


def tap(connection: Any, take: Callable[[bytes], bytes]) -> None:
    """Let ``take`` have a plain connection's frames before stomp.py; see ``reading.WholeFrames``."""
    if is_plain(connection):
        connection.transport.receive.take = take


def abort(connection: Any) -> None:
    """Cut a connection without a word; never raises."""
    with contextlib.suppress(StompException, OSError, AttributeError, ValueError):
        connection.transport.disconnect_socket()


def describe_error(frame: Any) -> str:
    """Return the broker's words out of an ERROR frame, short enough for a log line."""
    headers: Mapping[str, Any] = frame.headers or {}
    body = frame.body.decode("utf-8", "replace") if isinstance(frame.body, bytes) else str(frame.body or "")
    words = " ".join(f"{headers.get('message', '')}: {body}".split()).strip(": ")
    return words[:_DETAIL_LIMIT] or "an ERROR frame without words"


def hosts_in_words() -> str:
    """Return the configured brokers as text for errors and logs."""
    return ", ".join(f"{host}:{port}" for host, port in settings.DEFAULT_STOMP_HOST_AND_PORTS)


def configured_hosts() -> list[tuple[str, int]]:
    """Return the brokers of the settings, in the order in which they are tried."""
    return [(host, int(port)) for host, port in settings.DEFAULT_STOMP_HOST_AND_PORTS]


def _log_in(connection: Any, watch: ConnectionWatch, role: str, host: str) -> None:
    try:
        connection.connect(settings.DEFAULT_STOMP_USERNAME, settings.DEFAULT_STOMP_PASSCODE, wait=False)
        answered = watch.answered.wait(ANSWER_TIMEOUT_SECONDS)
    except TlsRefused as error:
        raise BrokerRefused(_unreachable(role, host, str(error))) from error
    except (StompException, OSError, AttributeError) as error:
        # AttributeError: stomp.py's receiver took its socket away while the CONNECT frame was being written.
        abort(connection)
        _raise_tls_problem(connection, role, host)
        raise BrokerUnavailable(_unreachable(role, host, watch.error or _words_of(error))) from error
    if watch.connected:
        return
    abort(connection)
    if watch.error is not None:
        raise BrokerRefused(
            f"The broker at {host} refused the {role}'s login as {settings.DEFAULT_STOMP_USERNAME!r} to the"
            f" virtual host {settings.DEFAULT_STOMP_VHOST!r}: {watch.error}. Check DEFAULT_STOMP_USERNAME,"
            " DEFAULT_STOMP_PASSCODE and DEFAULT_STOMP_VHOST in DJANGO_OUTBOX_PATTERN."
        )
    _raise_tls_problem(connection, role, host)
    why = "it closed the connection" if answered else f"no answer within {ANSWER_TIMEOUT_SECONDS:.0f} s"
    raise BrokerUnavailable(_unreachable(role, host, why))


def _raise_tls_problem(connection: Any, role: str, host: str) -> None:
    """Raise what ended the connection when that was TLS: a missing client certificate shows after the handshake."""
    dialer = getattr(connection.transport, "attempt_connection", None)
    problem = dialer.problem() if isinstance(dialer, Dialer) else None
    if problem is not None:
        raise BrokerRefused(_unreachable(role, host, problem))


def _unreachable(role: str, host: str, why: str) -> str:
    return f"The {role} cannot connect to the broker at {host}: {why.rstrip('.')}."


def _words_of(error: Exception) -> str:
    return str(error) or "no connection could be made"


def _accepts(connection_class: Any, option: str) -> bool:
    parameters = inspect.signature(connection_class).parameters
    return option in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
