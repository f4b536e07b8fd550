"""A queue that holds messages before anybody reads it, for callbacks that see several at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.library.consume.subscriber import Broker, Subscribers


def fill(subscribers: Subscribers, broker: Broker, queue: str, keys: Iterable[str]) -> None:
    """Have a queue with messages of these keys; a message's id is its key."""
    assert subscribers.start("save", f"/topic/{queue}").wait_ready().stop() == 0
    for key in keys:
        properties = {"delivery_mode": 2, "headers": {"dop-msg-id": key}}
        broker.server.api.publish(queue, json.dumps({"key": key}), properties=properties)
