"""Send a message straight to the broker, without the outbox: for what need not survive a failure.

    with factory_producer() as producer:
        producer.send_event(destination="/topic/x", body={"some": "data"}, headers={})

Each send waits for the broker's receipt. A send that fails is tried three times within seconds and then raises: code
that runs in a web request cannot wait for minutes, and what must arrive belongs into the outbox, which retries for as
long as it takes.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.module_loading import import_string
from stomp.exception import StompException
from stomp.listener import ConnectionListener
from stomp.utils import get_uuid

from django_outbox import settings
from django_outbox.bases import Base
from django_outbox.exceptions import BrokerUnavailable, ExceededSendAttemptsException
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.relay import Relay, RelayOptions
from django_outbox.retry import QUICK_ATTEMPTS
from django_outbox.transport.publishing import StompTransport
from django_outbox.transport.stomp import abort, describe_error, hosts_in_words

if TYPE_CHECKING:
    from django_outbox.models import Published

_logger = logging.getLogger("django_outbox_pattern")

CONNECT_ATTEMPTS = 3
PAUSE_SECONDS = 0.5


class _Receipt(ConnectionListener):  # type: ignore[misc]
    """Waits for the answer to one message at a time."""

    def __init__(self) -> None:
        self._answered = threading.Event()
        self._wanted: str | None = None
        self.error: str | None = None

    def want(self, receipt: str) -> None:
        """Begin to wait for a receipt."""
        self.error = None
        self._wanted = receipt
        self._answered.clear()

    def wait(self, seconds: float) -> bool:
        """Return whether the broker confirmed in time."""
        return self._answered.wait(seconds) and self.error is None

    def on_receipt(self, frame: Any) -> None:
        """Note the confirm."""
        if frame.headers.get("receipt-id") == self._wanted:
            self._answered.set()

    def on_error(self, frame: Any) -> None:
        """Note the broker's words; the message counts as not sent."""
        self.error = describe_error(frame)
        self._answered.set()

    def on_disconnected(self) -> None:
        """Note that no answer will come."""
        if not self._answered.is_set():
            self.error = self.error or "the connection was lost"
            self._answered.set()


class Producer(Base):
    """Sends single messages over one connection."""

    def __init__(self, connection: Any, username: str | None, passcode: str | None) -> None:
        super().__init__(connection, username, passcode)
        self.listener_name = f"producer-listener-{get_uuid()}"
        self.listener_class = import_string(settings.DEFAULT_PRODUCER_LISTENER_CLASS)
        self.published_class = import_string(settings.DEFAULT_PUBLISHED_CLASS)
        self._receipt = _Receipt()
        self._relay: Relay | None = None

    def __enter__(self) -> Producer:
        self.start()
        return self

    def __exit__(self, exc_type: object, exc_val: object, exc_tb: object) -> None:
        self.stop()

    def start(self) -> None:
        """Connect. Raises ``BrokerUnavailable`` when that fails three times."""
        self.connect()

    def connect(self) -> None:
        """Connect with a few attempts, unlike a consumer, which has nothing else to do than wait."""
        for attempt in range(1, CONNECT_ATTEMPTS + 1):
            if self.is_connected():
                return
            try:
                self.set_listener(self.listener_name, self._receipt)
                self.connection.connect(**self._credentials, wait=True)
            except (StompException, OSError) as error:
                self.attempts = attempt
                if attempt == CONNECT_ATTEMPTS:
                    raise BrokerUnavailable(
                        f"Cannot connect to the broker at {hosts_in_words()} after {attempt} attempts:"
                        f" {self._receipt.error or error or 'no answer'}."
                        " What must arrive later belongs into the outbox: Published.objects.create(...)."
                    ) from error
                time.sleep(PAUSE_SECONDS)
        self.attempts = 0

    def stop(self) -> None:
        """Disconnect; never raises."""
        try:
            if self._relay is not None:
                self._relay.transport.close()
            self._disconnect()
        except (StompException, OSError) as error:
            _logger.error("Error disconnect listener: %s", error)  # noqa: TRY400 - the words are enough

    def send(self, message: Published, **kwargs: Any) -> int:
        """Send a row's message and return how many attempts failed before; the row itself is not changed."""
        arguments = {"destination": message.destination, "headers": message.headers, **kwargs}
        if "body" not in arguments:
            arguments["body"] = json.dumps(message.body, cls=DjangoJSONEncoder)
        return self._send_with_retry(**arguments)

    def send_event(self, body: Any, destination: str, **kwargs: Any) -> int:
        """Send a message and return how many attempts failed before the broker confirmed it.

        ``headers`` and further arguments go to stomp.py's ``send``. Raises ``ExceededSendAttemptsException`` after
        three failed attempts (fewer if ``DEFAULT_MAXIMUM_RETRY_ATTEMPTS`` is less); the message may then have arrived
        or not.
        """
        return self._send_with_retry(body=json.dumps(body, cls=DjangoJSONEncoder), destination=destination, **kwargs)

    def publish_message_from_database(self) -> None:
        """Publish one batch out of the outbox and then wait ``DEFAULT_PRODUCER_WAITING_TIME`` seconds.

        For code that loops over it itself; ``manage.py publish`` is the better way.
        """
        if self._relay is None:
            self._relay = Relay(StompTransport(), StopSignal(), Health("publisher"), RelayOptions.from_settings())
        if not self._relay.transport.is_connected():
            self._relay.connect()
        if self._relay.publish_batch() == 0:
            _logger.debug("No objects to publish")
        time.sleep(settings.DEFAULT_PRODUCER_WAITING_TIME)

    def _send_with_retry(self, **kwargs: Any) -> int:
        allowed = min(QUICK_ATTEMPTS, settings.DEFAULT_MAXIMUM_RETRY_ATTEMPTS)
        for failures in range(allowed):
            try:
                self.connect()
                why = self._send_once(dict(kwargs))
            except (StompException, OSError, BrokerUnavailable) as error:
                why = str(error) or type(error).__name__
            if why is None:
                return failures
            _logger.warning("Sending failed for the %d. time: %s", failures + 1, why)
            abort(self.connection)
            if failures + 1 < allowed:
                time.sleep(PAUSE_SECONDS)
        raise ExceededSendAttemptsException(allowed)

    def _send_once(self, arguments: dict[str, Any]) -> str | None:
        """Send and wait for the receipt; return why it failed, None when it did not."""
        receipt = get_uuid()
        given = arguments.pop("headers", None) or {}
        headers = {"persistent": "true", "content-type": "application/json", **given, "receipt": receipt}
        self._receipt.want(receipt)
        self.connection.send(**arguments, headers=headers)
        if self._receipt.wait(settings.RECEIPT_TIMEOUT):
            return None
        return self._receipt.error or f"no receipt within {settings.RECEIPT_TIMEOUT:.0f} s"
