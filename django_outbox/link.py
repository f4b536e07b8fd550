"""One connection of a subscriber to the broker, used once: opened, subscribed, and thrown away when it fails.

A delivery belongs to the link it came through and is settled there or not at all: a settlement that outlives its
connection would be meant for another message on the next one. stomp.py's thread runs the listener below and nothing
else; it hands deliveries on and goes back to its socket, so heartbeats go on whatever the callbacks do.
"""

from __future__ import annotations

import logging
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stomp.exception import StompException
from stomp.listener import ConnectionListener

from django_outbox import settings
from django_outbox.dialects import Dialect
from django_outbox.exceptions import BrokerUnavailable, SubscriptionRefused, SubscriptionUnanswered
from django_outbox.transport.cut import is_cut, mark_cut_frames
from django_outbox.transport.frames import ack_frames
from django_outbox.transport.joined import JoinedWrites
from django_outbox.transport.messages import MessageTap
from django_outbox.transport.stomp import OpenConnection, describe_error, is_plain, open_connection, tap
from django_outbox.transport.wire import send_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

logger = logging.getLogger("django_outbox_pattern.consumer")

# The broker works through the acknowledgements before it answers the goodbye.
CLOSE_TIMEOUT_SECONDS = 10.0

# What stomp.py raises when the connection goes away under a frame; AttributeError is its socket being taken away.
_LOST = (StompException, OSError, AttributeError)


@dataclass(frozen=True)
class Delivery:
    """One message as it came through one link."""

    body: Any = field(repr=False)
    headers: Mapping[str, Any]
    link: Link = field(repr=False)
    raw: bytes | None = field(default=None, repr=False)
    """The body's bytes where ``body`` is no faithful text of them."""

    @property
    def message_id(self) -> str:
        """Return the broker's id of this delivery."""
        return str(self.headers.get("message-id", ""))

    @property
    def redelivered(self) -> bool:
        """Tell whether the broker has handed the message out before."""
        return str(self.headers.get("redelivered", "")).lower() == "true"


class Link:
    """A connection with its subscriptions: one, or for messages that wait several.

    ``deliver`` is called on stomp.py's thread with each message. ``make_listener`` returns the project's own listener
    for this link, if it has one; it hears the same frames.
    """

    def __init__(
        self,
        deliver: Callable[[Delivery], None],
        make_listener: Callable[[Link], Any] | None = None,
        generation: int = 0,
    ) -> None:
        self.generation = generation
        self.subscription_id = str(uuid.uuid4())
        self._subscriptions = {self.subscription_id}
        self.failure: str | None = None
        self.failure_kind = "lost"
        self._deliver = deliver
        self._open: OpenConnection | None = None
        self._closing = False
        self._writes = JoinedWrites(None)
        self._raw: dict[str, bytes] = {}
        self._receipts: set[str] = set()
        self._changed = threading.Condition()
        self._listener = LinkListener(self, make_listener(self) if make_listener else None)

    @property
    def connection(self) -> Any:
        """Return the connection of stomp.py, None before it is open."""
        return self._open.connection if self._open else None

    @property
    def host(self) -> str:
        """Return the broker as ``host:port``, empty before the link is open."""
        return self._open.host if self._open else ""

    @property
    def dialect(self) -> Dialect:
        """Return how the broker wants things said; the plain one before the link is open."""
        return self._open.dialect if self._open else Dialect()

    def is_connected(self) -> bool:
        """Tell whether the link can be used, as far as is known."""
        return self.failure is None and self._open is not None and self._open.is_connected()

    def open(self) -> None:
        """Connect and log in. Raises ``BrokerUnavailable``, ``BrokerRefused``, ``ConfigurationError``."""
        # Bodies as bytes: stomp.py would replace what is no text, and a copy of the message could not be true to it.
        self._open = open_connection("subscriber", listener=self._listener, prepare=self._tap, auto_decode=False)
        mark_cut_frames(self.connection.transport)
        send_at_once(getattr(self.connection.transport, "socket", None))
        self._writes = JoinedWrites(self.connection.transport)

    def _tap(self, connection: Any) -> None:
        """Hear messages before stomp.py does."""
        tap(connection, MessageTap(self._listener.on_message))

    def subscribe(
        self, destination: str, headers: Mapping[str, Any], identity: str | None = None, seconds: float | None = None
    ) -> None:
        """Subscribe and wait for the broker's receipt, RECEIPT_TIMEOUT or so many seconds.

        A second subscription on the link needs an ``identity`` of its own. Raises ``SubscriptionRefused`` or
        ``BrokerUnavailable``, ``SubscriptionUnanswered`` where only the receipt is missing.
        """
        identity = identity or self.subscription_id
        self._subscriptions.add(identity)
        receipt = f"subscribed-{identity}"
        try:
            self.connection.subscribe(
                destination, identity, ack="client-individual", headers=dict(headers), receipt=receipt
            )
        except _LOST as error:
            raise BrokerUnavailable(f"The connection was lost while subscribing to {destination}: {error}.") from error
        self._await_receipt(receipt, destination, settings.RECEIPT_TIMEOUT if seconds is None else seconds)

    def is_subscribed(self, subscription: Any) -> bool:
        """Tell whether a subscription, as a MESSAGE frame names it, is one of this link."""
        return subscription in self._subscriptions

    def ack(self, delivery: Delivery) -> bool:
        """Tell the broker that a delivery of this link is done; returns whether that could be sent."""
        return self.ack_all([delivery])

    def ack_all(self, deliveries: Sequence[Delivery]) -> bool:
        """Tell the broker in one piece that deliveries of this link are done; returns whether that could be sent."""
        return self._send(lambda: self._write_acks(deliveries), deliveries, "acknowledged")

    def nack(self, delivery: Delivery) -> bool:
        """Send a delivery of this link to the dead letter queue; returns whether that could be sent.

        Some brokers destroy what is refused: there the link is given up instead, and the message comes again.
        """
        if not self.dialect.nack_keeps and self.is_connected():
            self.fail("a failed message could not be sent on, and this broker does not keep what is refused", "error")
        return self._send(
            lambda: self.connection.nack(*self._address_of(delivery), requeue=False), [delivery], "refused"
        )

    def close(self, timeout: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """Let the broker work through what was sent, and part; unsettled deliveries go back to their queue."""
        self._closing = True
        if self._open is not None:
            self._open.close(timeout)

    def hand_over(self, body: Any, headers: Mapping[str, Any]) -> None:
        """Pass a message on to whoever runs the callbacks."""
        raw = self._raw.pop(str(headers.get("message-id")), None)
        self._deliver(Delivery(body=body, headers=headers, link=self, raw=raw))

    def keep_raw(self, message_id: Any, raw: bytes) -> None:
        """Keep the bytes of a body that is no text, until the message is handed over."""
        self._raw[str(message_id)] = raw

    def refuse_unread(self, headers: Mapping[str, Any]) -> None:
        """Send a message of which only a part could be read to the dead letters, where the broker has the whole."""
        delivery = Delivery(body="", headers=headers, link=self)
        logger.error(
            "Message %s cannot be read: one of its headers holds NUL, which ends a STOMP frame. It is refused unread; "
            "correct its producer.",
            delivery.message_id,
            extra={"delivery_id": delivery.message_id, "generation": self.generation},
        )
        self.nack(delivery)

    def fail(self, reason: str, kind: str) -> None:
        """Note why the link is of no use any more; the first reason is the one that counts."""
        with self._changed:
            if self.failure is None and not self._closing:
                self.failure, self.failure_kind = reason, kind
            self._changed.notify_all()

    def note_receipt(self, receipt: str) -> None:
        """Note that the broker did what was asked for."""
        with self._changed:
            self._receipts.add(receipt)
            self._changed.notify_all()

    def _await_receipt(self, receipt: str, destination: str, limit: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: receipt in self._receipts or self.failure is not None, limit)
        if self.failure is not None and self.failure_kind == "error":
            raise SubscriptionRefused(f"The broker refused the subscription to {destination}: {advise(self.failure)}")
        if self.failure is not None:
            raise BrokerUnavailable(f"The connection was lost while subscribing to {destination}.")
        if receipt not in self._receipts:
            raise SubscriptionUnanswered(
                f"The broker did not confirm the subscription to {destination} in {limit:g} s."
            )

    def _address_of(self, delivery: Delivery) -> tuple[str, ...]:
        """Return the arguments that name a delivery in an ACK: STOMP 1.1 wants the subscription as well."""
        if getattr(self.connection, "version", "1.2") == "1.1":
            return delivery.message_id, str(delivery.headers.get("subscription", self.subscription_id))
        return (str(delivery.headers.get("ack", delivery.message_id)),)

    def _write_acks(self, deliveries: Sequence[Delivery]) -> None:
        if is_plain(self.connection) and not self._listener.hears_sends:
            self.connection.transport.send(ack_frames([self._address_of(delivery)[0] for delivery in deliveries]))
            return
        with self._writes.joined():
            for delivery in deliveries:
                self.connection.ack(*self._address_of(delivery))

    def _send(self, send: Callable[[], None], deliveries: Sequence[Delivery], deed: str) -> bool:
        if self.is_connected():
            try:
                send()
            except _LOST as error:
                self.fail(f"the connection was lost: {error}", "lost")
            else:
                return True
        for delivery in deliveries:
            logger.warning(
                "Message %s cannot be %s: its connection is gone. The broker delivers it again.",
                delivery.message_id,
                deed,
                extra={"delivery_id": delivery.message_id, "generation": self.generation},
            )
        return False


class LinkListener(ConnectionListener):  # type: ignore[misc]
    """Hears stomp.py for a link, and lets the project's own listener hear the same.

    An error in the project's listener ends neither the connection nor the message: it is logged.
    """

    def __init__(self, link: Link, own: Any) -> None:
        self._link = link
        self._own = own

    @property
    def hears_sends(self) -> bool:
        """Tell whether the project's own listener does something about what is sent."""
        hear = getattr(self._own, "on_send", None)
        return hear is not None and getattr(hear, "__func__", hear) is not ConnectionListener.on_send

    def on_connecting(self, host_and_port: tuple[str, int]) -> None:
        """Pass it on."""
        self._tell("on_connecting", host_and_port)

    def on_connected(self, frame: Any) -> None:
        """Pass it on."""
        self._tell("on_connected", frame)

    def on_message(self, frame: Any) -> None:
        """Hand the message over, by way of the project's listener where it has one."""
        if not self._link.is_subscribed(frame.headers.get("subscription")):
            return
        if is_cut(frame):
            self._link.refuse_unread(frame.headers)
            return
        try:
            frame.body = frame.body.decode() if isinstance(frame.body, bytes) else frame.body
        except UnicodeDecodeError:
            self._link.keep_raw(frame.headers.get("message-id"), frame.body)
            frame.body = as_text(frame.body)
        if self._own is None or not self._tell("on_message", frame):
            self._link.hand_over(frame.body, frame.headers)

    def on_receipt(self, frame: Any) -> None:
        """Wake up who waits for this receipt."""
        self._link.note_receipt(frame.headers.get("receipt-id", ""))
        self._tell("on_receipt", frame)

    def on_error(self, frame: Any) -> None:
        """Give the link up: after an ERROR the broker closes it, or keeps it without the subscription."""
        frame.body = as_text(frame.body)
        self._link.fail(describe_error(frame), "error")
        self._tell("on_error", frame)

    def on_heartbeat_timeout(self) -> None:
        """Note that the broker fell silent."""
        self._link.failure_kind = "heartbeat"
        self._tell("on_heartbeat_timeout")

    def on_disconnected(self) -> None:
        """Note that the connection is gone."""
        self._link.fail("the connection was lost", "lost")
        self._tell("on_disconnected")

    def on_send(self, frame: Any) -> None:
        """Pass it on."""
        self._tell("on_send", frame)

    def _tell(self, method: str, *arguments: Any) -> bool:
        """Call the project's listener; returns whether that worked."""
        hear = getattr(self._own, method, None)
        if hear is None:
            return False
        try:
            hear(*arguments)
        except Exception:
            logger.exception("The listener %s failed in %s", type(self._own).__name__, method)
            return False
        return True


def as_text(body: Any) -> Any:
    """Return a body as callbacks and listeners know it: text, with replacement characters for what is none."""
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body


def advise(reason: str) -> str:
    """Add to the broker's words what a person can do about them."""
    for words, advice in _ADVICE.items():
        if words in reason:
            return f"{reason.rstrip('.')}. {advice}"
    return reason


_ADVICE = {
    "PRECONDITION_FAILED": (
        "The queue exists with other arguments, and those cannot be changed: empty and delete that queue, "
        "or subscribe with another queue name."
    ),
    "inequivalent arg": "The queue exists with other arguments: empty and delete it, or use another queue name.",
    "RESOURCE_LOCKED": "Another connection holds the queue exclusively: stop that subscriber, or wait until it ends.",
    "ACCESS_REFUSED": "Grant the user configure, write and read on the queue, its dead letter queue and the exchange.",
    "access refused": "Grant the user configure, write and read on the queue, its dead letter queue and the exchange.",
    "NOT_FOUND": "Create the exchange the destination names, or correct the destination.",
    "Unknown destination": "Write the destination like /topic/orders.v1, /queue/orders or /exchange/NAME/KEY.",
}
