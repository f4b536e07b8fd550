"""The doctor on the broker: reached, logged in to, encrypted, alive, and keeping what it confirms."""

from __future__ import annotations

import queue
import socket
import ssl
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stomp.exception import StompException
from stomp.listener import ConnectionListener

from django_outbox import settings
from django_outbox.doctor.findings import fail, ok, sentence, warn
from django_outbox.exceptions import BrokerError, BrokerRefused, BrokerUnavailable, ConfigurationError
from django_outbox.transport.stomp import describe_error, open_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django_outbox.dialects import Dialect
    from django_outbox.doctor.findings import Finding
    from django_outbox.transport.stomp import OpenConnection

# Ours alone, and gone after the round trip; RabbitMQ removes it by itself should the doctor be killed.
OWN_PREFIX = "outbox-doctor-"
_OWN_QUEUE = {"durable": "true", "auto-delete": "true", "exclusive": "false", "x-expires": "60000"}
_REACH_SECONDS = 3.0
_EXPIRES_SOON_DAYS = 30

_LOST = (StompException, OSError, AttributeError)
_LOCAL = ("localhost", "127.", "::1")


class Ear(ConnectionListener):  # type: ignore[misc]
    """Hears every frame of one connection, in order: the frame's kind, its headers, its body."""

    def __init__(self) -> None:
        self.heard: queue.SimpleQueue[tuple[str, Any, Any]] = queue.SimpleQueue()
        self.greeting: dict[str, Any] = {}

    def on_connected(self, frame: Any) -> None:
        """Keep what the broker says of itself."""
        self.greeting = dict(frame.headers or {})

    def on_message(self, frame: Any) -> None:
        """Note a message."""
        self.heard.put(("MESSAGE", frame.headers, frame.body))

    def on_receipt(self, frame: Any) -> None:
        """Note a receipt."""
        self.heard.put(("RECEIPT", frame.headers, None))

    def on_error(self, frame: Any) -> None:
        """Note the broker's words."""
        self.heard.put(("ERROR", frame.headers, describe_error(frame)))

    def on_disconnected(self) -> None:
        """Note the end."""
        self.heard.put(("END", {}, "the broker closed the connection"))

    def next(self, deadline: float) -> tuple[str, Any, Any]:
        """Return the next frame; when none comes in time, one of the kind SILENCE."""
        try:
            return self.heard.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return "SILENCE", {}, "the broker did not answer in time"


def login() -> Finding:
    """Log in and out: does a broker let this user in? One that does not answer is a warning."""
    ear = Ear()
    try:
        opened = open_connection("doctor", listener=ear)
    except BrokerUnavailable as error:
        return warn("broker", sentence(error), _advice_for(error))
    except (BrokerError, ConfigurationError) as error:
        return fail("broker", sentence(error), _advice_for(error))
    opened.close(timeout=1.0)
    return _let_in(opened, ear)


def examine() -> Iterator[Finding]:
    """Yield what is found; nothing is asked of a broker that lets nobody in."""
    yield from _hosts()
    ear = Ear()
    try:
        opened = open_connection("doctor", listener=ear)
    except (BrokerError, ConfigurationError) as error:
        yield fail("broker", sentence(error), _advice_for(error))
        return
    try:
        yield _let_in(opened, ear)
        yield _tls(opened)
        yield _heartbeats(ear)
        yield _round_trip(opened, ear)
    finally:
        opened.close()


def _let_in(opened: OpenConnection, ear: Ear) -> Finding:
    server = ear.greeting.get("server", "a broker that does not tell its name")
    user, vhost = settings.DEFAULT_STOMP_USERNAME, settings.DEFAULT_STOMP_VHOST
    return ok("broker", f"{server} at {opened.host} accepts {user!r} on the virtual host {vhost!r}.")


def own_queue(dialect: Dialect, name: str) -> tuple[str, dict[str, str]]:
    """Return destination and headers of a queue of the doctor's own, which goes when its only consumer does."""
    if dialect.declares_queues:
        return f"/queue/{name}", dict(_OWN_QUEUE)
    # ActiveMQ Classic never removes a queue; a temporary one goes with its connection.
    return (f"/temp-queue/{name}" if dialect.name == "ActiveMQ" else f"/queue/{name}"), {}


def _advice_for(error: Exception) -> str:
    words = str(error).lower()
    if isinstance(error, ConfigurationError):
        return ""
    if "certificate" in words or "tls" in words or "ssl" in words:
        return "Compare DEFAULT_STOMP_USE_SSL, _CA_CERTS, _CERT_FILE and _KEY_FILE with the broker's TLS listener."
    if "virtual host" in words and "access refused" not in words and ("not found" in words or "denied" in words):
        return "Create the virtual host, give the user rights on it, or correct DEFAULT_STOMP_VHOST."
    if isinstance(error, BrokerRefused):
        return "Correct them in the settings, or make them known to the broker."
    return "Check that the broker runs, that its STOMP plugin is enabled, the host, the port, and firewalls between."


def _hosts() -> Iterator[Finding]:
    """Try each of several brokers: the others are of use only when the first is gone."""
    hosts = [(host, int(port)) for host, port in settings.DEFAULT_STOMP_HOST_AND_PORTS]
    if len(hosts) < 2:
        return
    away = []
    for host, port in hosts:
        try:
            socket.create_connection((host, port), timeout=_REACH_SECONDS).close()
        except OSError as error:
            away.append(f"{host}:{port} ({sentence(error).rstrip('.')})")
    if away:
        advice = "Bring them back, or take them out of DEFAULT_STOMP_HOST_AND_PORTS."
        yield warn("failover", f"Of {len(hosts)} brokers these do not answer: {', '.join(away)}.", advice)
    else:
        yield ok("failover", f"All {len(hosts)} brokers answer.")


def _tls(opened: OpenConnection) -> Finding:
    if not settings.DEFAULT_STOMP_USE_SSL:
        if opened.host.startswith(_LOCAL):
            return ok("TLS", "Off, and the broker is on this machine.")
        advice = "Set DEFAULT_STOMP_USE_SSL and connect to the broker's TLS port."
        return warn("TLS", f"Off: the password goes to {opened.host} in clear.", advice)
    wire = getattr(opened.connection.transport, "socket", None)
    wire = getattr(wire, "tls", wire)
    if not isinstance(wire, ssl.SSLSocket):
        return warn("TLS", "On, but it cannot be told how.", "Look at DEFAULT_CONNECTION_CLASS.")
    certificate = wire.getpeercert()
    if not certificate:
        advice = "Take DEFAULT_STOMP_SSL_VERIFY=False out; DEFAULT_STOMP_CA_CERTS names authorities of your own."
        return warn("TLS", f"{wire.version()}, but the broker's certificate is not verified.", advice)
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    days = (ends - datetime.now(UTC)).days
    if days < _EXPIRES_SOON_DAYS:
        return warn("TLS", f"{wire.version()}; the broker's certificate ends in {days} days.", "Renew it.")
    return ok("TLS", f"{wire.version()}; the broker's certificate is verified and good for {days} days.")


def _heartbeats(ear: Ear) -> Finding:
    ours_out, ours_in = settings.DEFAULT_STOMP_HEARTBEATS
    theirs_out, theirs_in = _pair(ear.greeting.get("heart-beat"))
    out = max(ours_out, theirs_in) if ours_out and theirs_in else 0
    back = max(ours_in, theirs_out) if ours_in and theirs_out else 0
    if out and back:
        return ok("heart-beats", f"Every {out / 1000:g} s out, every {back / 1000:g} s in.")
    way = "neither way" if not out and not back else "only " + ("out" if out else "in")
    advice = "A dead connection is noticed late. Set DEFAULT_STOMP_HEARTBEATS to (10000, 10000)."
    return warn("heart-beats", f"They go {way}.", advice)


def _pair(text: Any) -> tuple[int, int]:
    out, _, back = str(text or "").partition(",")
    return (int(out), int(back)) if out.strip().isdecimal() and back.strip().isdecimal() else (0, 0)


def _round_trip(opened: OpenConnection, ear: Ear) -> Finding:
    """Send a persistent message through a queue of our own, and have it confirmed and delivered."""
    name = f"{OWN_PREFIX}{uuid.uuid4()}"
    destination, declared = own_queue(opened.dialect, name)
    deadline = time.monotonic() + settings.RECEIPT_TIMEOUT
    try:
        browse = dict(opened.dialect.browse_headers(1))
        opened.connection.subscribe(
            destination, name, ack="client-individual", headers={**declared, **browse}, receipt="subscribed"
        )
        problem = _await({("RECEIPT", "subscribed")}, ear, deadline)
        if isinstance(problem, str):
            return _no_round_trip("A queue for a try cannot be made", problem)
        started = time.perf_counter()
        headers = {**declared, **opened.dialect.send_headers(destination), "persistent": "true", "receipt": "sent"}
        opened.connection.send(destination, "outbox doctor", headers=headers)
        seen = _await({("RECEIPT", "sent"), ("MESSAGE", name)}, ear, deadline)
        if isinstance(seen, str):
            return _no_round_trip("A message did not come back", seen)
        milliseconds = (time.perf_counter() - started) * 1000
        message = seen["MESSAGE"]
        opened.connection.ack(message.get("ack", message.get("message-id")))
        opened.connection.unsubscribe(name)
    except _LOST as error:
        return _no_round_trip("The connection was lost", sentence(error))
    if message.get("persistent") != "true":
        advice = "Such messages are gone when the broker restarts. Look at its policies."
        return warn("round trip", "The message came back, but the broker had not kept it as persistent.", advice)
    return ok("round trip", f"A persistent message was confirmed and came back within {milliseconds:.0f} ms.")


def _await(wanted: set[tuple[str, str]], ear: Ear, deadline: float) -> dict[str, Any] | str:
    """Wait for these frames in any order; return their headers by kind, or what came instead."""
    seen: dict[str, Any] = {}
    while wanted:
        kind, headers, words = ear.next(deadline)
        if kind in {"ERROR", "END", "SILENCE"}:
            return str(words)
        wanted = wanted - {(kind, str(headers.get("receipt-id" if kind == "RECEIPT" else "subscription", "")))}
        seen[kind] = headers
    return seen


def _no_round_trip(what: str, why: str) -> Finding:
    if "refused" in why.lower() or "denied" in why.lower():
        advice = f"Grant the user configure, write and read on {OWN_PREFIX}*, or take this as not proven."
        return warn("round trip", f"{what}: {sentence(why)}", advice)
    advice = "Look at the broker's log. Silence may be an alarm for memory or disk: it stops reading then."
    return fail("round trip", f"{what}: {sentence(why)}", advice)
