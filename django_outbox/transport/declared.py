"""Which queues a subscriber has declared, for SENDs to ``/queue/NAME``: RabbitMQ declares the queue with each of those.

It does so with the headers of the SEND, and refuses when the queue exists with others. The subscriber's are then the
likely ones: the publisher adds them from then on. ``/amq/queue/NAME`` would be taken without any, but drops a message
when the queue is gone, and confirms it.
"""

from __future__ import annotations

import re
from typing import Any

from django_outbox import settings
from django_outbox.dialects import DEAD_LETTER_PREFIX

_QUEUE = "/queue/"
_REFUSAL = re.compile(r"inequivalent arg '[^']*' for queue '(?P<queue>.+?)' in vhost")
_OF_A_SUBSCRIPTION = frozenset({"prefetch-count"})


class DeclaredQueues:
    """Remembers which queues the broker refused to declare plainly."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def learn(self, words: str) -> None:
        """Take the name of the queue out of the broker's refusal, if it is one."""
        if found := _REFUSAL.search(words):
            self._names.add(found["queue"])

    def headers(self, destination: str) -> dict[str, Any]:
        """Return what to add to a SEND there; nothing for queues that were never refused."""
        name = destination.removeprefix(_QUEUE).replace("%2F", "/")
        if not destination.startswith(_QUEUE) or name not in self._names:
            return {}
        project = settings.DEFAULT_STOMP_QUEUE_HEADERS.items()
        return {
            **{header: value for header, value in project if header not in _OF_A_SUBSCRIPTION},
            "exclusive": settings.DEFAULT_EXCLUSIVE_QUEUE,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"{DEAD_LETTER_PREFIX}{name}",
        }
