"""stomp.py as its documentation shows it, with a receipt on each message."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import stomp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.rig.hostservices import RabbitMQ

_DEADLINE_SECONDS = 300


class _Counter(stomp.ConnectionListener):  # type: ignore[misc]
    def __init__(self, total: int) -> None:
        self.left = total
        self.done = threading.Event()

    def on_receipt(self, _frame: Any) -> None:
        self.left -= 1
        if not self.left:
            self.done.set()


def send_with_receipts(
    rabbitmq: RabbitMQ, destination: str, messages: Sequence[tuple[str, Mapping[str, str]]]
) -> float:
    """Send messages and return the seconds until the last receipt."""
    connection = stomp.StompConnection12([(rabbitmq.host, rabbitmq.stomp_port)], vhost=rabbitmq.vhost)
    counter = _Counter(len(messages))
    connection.set_listener("counter", counter)
    connection.connect(rabbitmq.username, rabbitmq.passcode, wait=True)
    try:
        started = time.monotonic()
        for number, (text, headers) in enumerate(messages):
            connection.send(destination, text, headers={**headers, "receipt": str(number)})
        if not counter.done.wait(_DEADLINE_SECONDS):
            raise TimeoutError(f"{counter.left} of {len(messages)} receipts are missing")
        return time.monotonic() - started
    finally:
        connection.disconnect()
