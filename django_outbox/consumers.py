"""The consumer under the name and with the methods that django-outbox-pattern gave it.

``Consumer`` is what ``factories.factory_consumer`` makes, what listeners have as ``instance`` and what ``subscribe``
runs. The work is done by ``consumer.ConsumerEngine``, which opens connections of its own and supervises them; the one
that a consumer is made with serves ``message_handler`` until then.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from django.utils.module_loading import import_string
from stomp.utils import get_uuid

from django_outbox import inbox, settings
from django_outbox.bases import Base
from django_outbox.consumer import NEEDS, ROLE, ConsumerEngine
from django_outbox.exceptions import OutboxError
from django_outbox.groups import processor_of
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.processing import Outcome
from django_outbox.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django_outbox.link import Link

_logger = logging.getLogger("django_outbox_pattern")


def _get_msg_id(headers: Mapping[str, Any]) -> Any:
    """Return the id a message goes by in logs: its sender's, else the broker's."""
    return headers.get("cap-msg-id") or headers.get("dop-msg-id") or headers.get("message-id")


def _get_or_create_correlation_id(headers: Mapping[str, Any]) -> str:
    """Return the message's correlation id, a new one when it has none."""
    return str(headers.get("dop-correlation-id") or uuid.uuid4())


class Consumer(Base):
    """A subscriber that can be started and stopped from code.

    ``start`` consumes in the background until ``stop``; ``run`` does so in the calling thread. ``message_handler``
    handles one message at once and settles it on ``connection``.
    """

    def __init__(self, connection: Any, username: str | None, passcode: str | None) -> None:
        super().__init__(connection, username, passcode)
        self.callback: Callable[..., object] = lambda payload: payload
        self.destination: str | None = None
        self.queue_name: str | None = None
        self.subscribe_id: str | None = None
        self.listener_name = f"consumer-listener-{get_uuid()}"
        self.listener_class = import_string(settings.DEFAULT_CONSUMER_LISTENER_CLASS)
        self.received_class = inbox.received_class()
        self.subscribe_headers: Mapping[str, Any] = dict(settings.DEFAULT_STOMP_QUEUE_HEADERS)
        self._shutting_down = False
        self._stop = StopSignal()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.set_listener(self.listener_name, self.listener_class(self))

    def start(self, callback: Callable[..., object], destination: str, queue_name: str | None = None) -> None:
        """Subscribe and consume in the background; returns once subscribed, however long the broker takes."""
        subscription = Subscription.create(
            callback, destination, queue_name, queue_headers=dict(self.subscribe_headers)
        )
        self._stop, self._shutting_down, self._failure = StopSignal(), False, None
        engine = self._engine(subscription, Health(ROLE, NEEDS))
        self._thread = threading.Thread(target=self._run_in_background, args=(engine,), daemon=True)
        self._thread.start()
        while not engine.subscribed.wait(0.2):
            if not self._thread.is_alive():
                raise OutboxError(f"The consumer ended before it was subscribed: {self._failure}") from self._failure

    def run(self, subscription: Subscription, stop: StopSignal, health: Health | None = None) -> int:
        """Consume until ``stop`` is set and return the exit code, see ``consumer.ConsumerEngine.run``."""
        self._stop = stop
        return self._engine(subscription, health or Health(ROLE, NEEDS)).run(stop)

    def stop(self) -> None:
        """Take nothing more, let the callback at work finish, and disconnect."""
        self._shutting_down = True
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def handle_incoming_message(self, body: Any, headers: Mapping[str, Any]) -> None:
        """Handle a message here and now. In a running consumer, listeners reach the workers by this name instead."""
        if self._shutting_down:
            _logger.warning("Received message during shutdown, skipping (will be redelivered)")
            return
        self.message_handler(body, headers)

    def message_handler(self, body: Any, headers: Mapping[str, Any]) -> None:
        """Run the callback for one message in the calling thread and settle the message on ``connection``."""
        queue = self.queue_name or (self.destination or "").rpartition("/")[2]
        subscription = Subscription(callback=self.callback, destination=self.destination or "", queue=queue)
        processor = processor_of(subscription, pause=self._sleep)
        outcome = processor.process(body, headers, self.connection)
        ack_id = headers.get("ack", headers.get("message-id"))
        if outcome.is_done:
            self.connection.ack(ack_id)
        elif outcome is not Outcome.LEFT:
            self.connection.nack(ack_id, requeue=False)

    def _engine(self, subscription: Subscription, health: Health) -> ConsumerEngine:
        self.callback = subscription.callback
        self.destination = subscription.destination
        self.queue_name = subscription.queue
        return ConsumerEngine(subscription, health, make_listener=self._listener_of)

    def _listener_of(self, link: Link) -> Any:
        return self.listener_class(LinkedConsumer(self, link))

    def _run_in_background(self, engine: ConsumerEngine) -> None:
        try:
            engine.run(self._stop)
        except Exception as error:
            self._failure = error
            _logger.exception("The consumer ended")

    def _sleep(self, seconds: float) -> bool:
        # A consumer that was never started has nobody to stop it.
        if self._thread is None and not self._stop.is_set():
            time.sleep(seconds)
            return False
        return self._stop.wait(seconds)


class LinkedConsumer:
    """A consumer as the listener of one link sees it: messages belong to that link, all else is the consumer's."""

    def __init__(self, consumer: Consumer, link: Link) -> None:
        self._consumer = consumer
        self._link = link

    @property
    def connection(self) -> Any:
        """Return the connection of this link."""
        return self._link.connection

    @property
    def subscribe_id(self) -> str:
        """Return the id of this link's subscription."""
        return self._link.subscription_id

    def is_connected(self) -> bool:
        """Tell whether this link stands."""
        return self._link.is_connected()

    def handle_incoming_message(self, body: Any, headers: Mapping[str, Any]) -> None:
        """Hand a message of this link to the workers."""
        self._link.hand_over(body, headers)

    def start(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: a listener need not reconnect, the supervisor does."""
        _logger.debug("The supervisor reconnects; the listener need not")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)
