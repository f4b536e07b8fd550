"""The listeners a project may replace: DEFAULT_CONSUMER_LISTENER_CLASS and DEFAULT_PRODUCER_LISTENER_CLASS.

They are told what stomp.py hears, on its thread; ``instance`` is the consumer or producer. Connecting again is the
supervisor's work, a listener only watches. Bodies and headers are logged at DEBUG where ``LOG_MESSAGE_BODIES`` is set,
and nowhere else.
"""

from __future__ import annotations

import logging
from typing import Any

from stomp.listener import ConnectionListener

from django_outbox import settings
from django_outbox.transport.stomp import describe_error

_logger = logging.getLogger("django_outbox_pattern")


class BaseListener(ConnectionListener):  # type: ignore[misc]
    """Log how the connection fares."""

    def __init__(self, instance: Any) -> None:
        self.instance = instance

    def on_connecting(self, host_and_port: tuple[str, int]) -> None:
        """Log the attempt."""
        _logger.debug("%s attempting connection to host %s port %s", type(self.instance).__name__, *host_and_port)

    def on_connected(self, frame: Any) -> None:  # noqa: ARG002
        """Log the success."""
        _logger.debug("%s established connection", type(self.instance).__name__)

    def on_error(self, frame: Any) -> None:
        """Log the broker's words."""
        _logger.debug("%s received an error: %s", type(self.instance).__name__, describe_error(frame))


class ConsumerListener(BaseListener):
    """Hand each message to the consumer."""

    def on_disconnected(self) -> None:
        """Log the loss."""
        _logger.debug("Consumer disconnected")

    def on_message(self, frame: Any) -> None:
        """Log the message's id and pass it on; frames of another subscription are not this consumer's."""
        if frame.headers.get("subscription") != self.instance.subscribe_id:
            return
        _logger.info("Message id received: %s", frame.headers.get("message-id"))
        if _logger.isEnabledFor(logging.DEBUG) and settings.LOG_MESSAGE_BODIES:
            _logger.debug("Message body received: %s", frame.body)
            _logger.debug("Message headers received: %s", frame.headers)
        self.instance.handle_incoming_message(frame.body, frame.headers)


class ProducerListener(BaseListener):
    """Log what is sent."""

    def on_disconnected(self) -> None:
        """Log the loss."""
        _logger.debug("Producer disconnected")

    def on_send(self, frame: Any) -> None:
        """Log each message at DEBUG, where that is wanted."""
        if frame.cmd == "SEND" and settings.LOG_MESSAGE_BODIES:
            _logger.debug("Message body sent: %s", frame.body)
            _logger.debug("Message headers sent: %s", frame.headers)
