"""The STOMP connection: how one is opened, closed and watched, for publishers and consumers alike.

``open_connection`` is the only code that puts credentials, virtual host and TLS on a connection and waits for the
broker's answer; ``factories.factory_connection`` shares its beginning (``build_connection``). A connection is used
once: to reconnect, open a new one. Works with stomp.py 8 and 9.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string
from stomp.exception import StompException
from stomp.listener import ConnectionListener

from django_outbox import settings
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

    def on_connected(self, frame: Any) -> None:  # noqa: ARG002
        """Note that the broker accepted the login."""
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


def build_connection(heartbeats: tuple[int, int] | None, **options: Any) -> Any:
    """Return a connection as the settings describe it, not connected yet.

    ``options`` go to ``DEFAULT_CONNECTION_CLASS`` as they are, except those that its signature does not know.
    """
    hosts = [(host, int(port)) for host, port in settings.DEFAULT_STOMP_HOST_AND_PORTS]
    connection_class = import_string(settings.DEFAULT_CONNECTION_CLASS)
    arguments: dict[str, Any] = {"host_and_ports": hosts, "vhost": settings.DEFAULT_STOMP_VHOST}
    if heartbeats is not None:
        arguments["heartbeats"] = tuple(heartbeats)
    arguments |= {name: value for name, value in options.items() if _accepts(connection_class, name)}
    connection = connection_class(**arguments)
    if settings.DEFAULT_STOMP_USE_SSL:
        connection.set_ssl(for_hosts=hosts, **_tls())
    return connection


def open_connection(
    role: str,
    listener: ConnectionListener | None = None,
    heartbeats: tuple[int, int] | None = None,
    **options: Any,
) -> OpenConnection:
    """Connect, log in, and return the connection once the broker accepted it.

    ``role`` says in errors and logs what it is for. ``listener`` hears every frame from the first on. ``heartbeats``
    default to ``DEFAULT_STOMP_HEARTBEATS``; (0, 0) turns them off. Raises ``BrokerUnavailable``, ``BrokerRefused``, or
    ``ConfigurationError`` for TLS files that cannot be read.
    """
    wanted = settings.DEFAULT_STOMP_HEARTBEATS if heartbeats is None else heartbeats
    defaults = {"timeout": CONNECT_TIMEOUT_SECONDS, "reconnect_attempts_max": 1}
    connection = build_connection(wanted, **{**defaults, **options})
    # The timeout is for connecting only: with one on reads, stomp.py takes a quiet broker for a dead one.
    connection.transport.blocking = True
    watch = ConnectionWatch()
    # stomp.py calls listeners in the order of their names: the watch must know before the others act.
    connection.set_listener(_WATCH_NAME, watch)
    if listener is not None:
        connection.set_listener(f"{_WATCH_NAME}-{role}", listener)
    _log_in(connection, watch, role)
    return OpenConnection(connection=connection, watch=watch, host=_host_of(connection))


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


def _log_in(connection: Any, watch: ConnectionWatch, role: str) -> None:
    try:
        connection.connect(settings.DEFAULT_STOMP_USERNAME, settings.DEFAULT_STOMP_PASSCODE, wait=False)
        answered = watch.answered.wait(ANSWER_TIMEOUT_SECONDS)
    except (StompException, OSError, AttributeError) as error:
        # AttributeError: stomp.py's receiver took its socket away while the CONNECT frame was being written.
        abort(connection)
        raise BrokerUnavailable(_unreachable(role, watch.error or _words_of(error))) from error
    if watch.connected:
        return
    abort(connection)
    if watch.error is not None:
        raise BrokerRefused(
            f"The broker at {hosts_in_words()} refused the {role}'s login as {settings.DEFAULT_STOMP_USERNAME!r} to the"
            f" virtual host {settings.DEFAULT_STOMP_VHOST!r}: {watch.error}. Check DEFAULT_STOMP_USERNAME,"
            " DEFAULT_STOMP_PASSCODE and DEFAULT_STOMP_VHOST in DJANGO_OUTBOX_PATTERN."
        )
    why = "it closed the connection" if answered else f"no answer within {ANSWER_TIMEOUT_SECONDS:.0f} s"
    raise BrokerUnavailable(_unreachable(role, why))


def _unreachable(role: str, why: str) -> str:
    return f"The {role} cannot connect to the broker at {hosts_in_words()}: {why}."


def _words_of(error: Exception) -> str:
    return str(error) or "no connection could be made"


def _host_of(connection: Any) -> str:
    host_and_port = getattr(connection.transport, "current_host_and_port", None)
    return f"{host_and_port[0]}:{host_and_port[1]}" if host_and_port else hosts_in_words()


def _accepts(connection_class: Any, option: str) -> bool:
    parameters = inspect.signature(connection_class).parameters
    return option in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _tls() -> dict[str, Any]:
    """Return the arguments of ``set_ssl``: those that stomp.py 8 and 9 both know, and only what is set."""
    validator = settings.DEFAULT_STOMP_CERT_VALIDATOR
    arguments = {
        "key_file": settings.DEFAULT_STOMP_KEY_FILE,
        "cert_file": settings.DEFAULT_STOMP_CERT_FILE,
        "ca_certs": settings.DEFAULT_STOMP_CA_CERTS,
        "cert_validator": import_string(validator) if isinstance(validator, str) else validator,
        "ssl_version": settings.DEFAULT_STOMP_SSL_VERSION,
        "password": settings.DEFAULT_STOMP_SSL_PASSWORD,
    }
    for name in ("key_file", "cert_file", "ca_certs"):
        _require_readable(name, arguments[name])
    return {name: value for name, value in arguments.items() if value is not None}


def _require_readable(name: str, path: str | None) -> None:
    if path is None:
        return
    try:
        with open(path, "rb"):  # noqa: PTH123 - the setting may be any path-like
            pass
    except OSError as error:
        raise ConfigurationError(
            f"DEFAULT_STOMP_{name.upper()} names a file that cannot be read: {error}."
            " Correct the path in DJANGO_OUTBOX_PATTERN."
        ) from error
