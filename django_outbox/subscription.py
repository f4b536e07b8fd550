"""What a subscriber subscribes to, and the headers it declares its queues with: pure, no broker needed.

RabbitMQ compares the arguments of a declaration with those of the existing queue and refuses a difference, so the
headers here are those of django-outbox-pattern to the byte. ``consumer.py`` sends them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from django_outbox import settings
from django_outbox.batching import Batching, batching_of
from django_outbox.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from django_outbox.payloads import Payload

    Callback = Callable[[Payload], object]


def _queue_headers() -> dict[str, Any]:
    return dict(settings.DEFAULT_STOMP_QUEUE_HEADERS)


# Where neither the settings nor the queue headers bound it: enough to keep the callbacks busy, little to hold back.
DEFAULT_PREFETCH = 100


class Choices(TypedDict, total=False):
    """What may be given for one subscription; the settings say the rest, also for None. See ``Subscription``."""

    prefetch: int | None
    concurrency: int | None
    group: int | None
    queue_headers: Mapping[str, Any] | None


@dataclass(frozen=True)
class Subscription:
    """One callback on one queue.

    ``prefetch`` is how many unacknowledged messages the broker may hand over; None follows the settings.
    ``concurrency`` is how many callbacks run at the same time, ``group`` how many messages, each with its callback, may
    share a transaction. ``queue_headers`` are the project's share of what the queue is declared with.
    """

    callback: Callback
    destination: str
    queue: str
    prefetch: int | None = None
    concurrency: int = 1
    group: int = 1
    queue_headers: Mapping[str, Any] = field(default_factory=_queue_headers)

    @classmethod
    def create(
        cls, callback: Callback, destination: str, queue: str | None = None, **choices: Unpack[Choices]
    ) -> Subscription:
        """Fill in what was not given: the queue from the destination's last segment, the rest from the settings."""
        queue = queue or default_queue(destination)
        if "%2F" in queue:
            raise ConfigurationError(
                f"The queue name {queue!r} holds '%2F', which RabbitMQ reads as '/': it could not have a dead letter "
                "queue. Use another queue name."
            )
        chosen: dict[str, Any] = {name: value for name, value in choices.items() if value is not None}
        if chosen.get("group", 1) != 1 and batching_of(callback) is not None:
            raise ConfigurationError(
                "A batch callback takes all messages of its transaction at once: --group is for callbacks that take "
                "one. Leave it out, or give the batch a size."
            )
        by_settings: dict[str, Any] = {
            "prefetch": settings.CONSUMER_PREFETCH,
            "concurrency": settings.CONSUMER_CONCURRENCY,
            "group": settings.CONSUMER_GROUP_SIZE,
        }
        return cls(callback, destination, queue, **by_settings | chosen)

    @property
    def batching(self) -> Batching | None:
        """Return how the callback takes batches, None for one that takes one message at a time."""
        return batching_of(self.callback)

    @property
    def callback_name(self) -> str:
        """Return the callback's dotted path, for metrics and logs."""
        module = getattr(self.callback, "__module__", type(self.callback).__module__)
        name = getattr(self.callback, "__qualname__", type(self.callback).__qualname__)
        return f"{module}.{name}"

    @property
    def dead_letter_queue(self) -> str:
        """Return the queue that failed messages go to."""
        return f"DLQ.{self.queue}"

    @property
    def dead_letter_destination(self) -> str:
        """Return the STOMP destination of that queue: RabbitMQ splits destinations at "/" and decodes "%2F" only."""
        return self.dead_letter_queue.replace("/", "%2F")

    @property
    def effective_prefetch(self) -> int:
        """Return how many messages may be in hand at once, at least what the callbacks at work can take."""
        if self.prefetch is not None:
            return self.prefetch
        try:
            configured = int(self.queue_headers.get("prefetch-count", 0))
        except (TypeError, ValueError):
            configured = 0
        # A group does not wait: the next must be here when one ends.
        at_once = self.batching.most if self.batching else 1 if self.group == 1 else 2 * self.group
        return max(configured or DEFAULT_PREFETCH, self.concurrency * at_once)

    @property
    def is_passing(self) -> bool:
        """Tell whether the queue goes with the connection that declares it, so that nothing can come back to it."""
        auto_delete = str(self.queue_headers.get("auto-delete", "")).lower() == "true"
        return auto_delete or bool(settings.DEFAULT_EXCLUSIVE_QUEUE)

    def headers(self) -> dict[str, Any]:
        """Return the SUBSCRIBE headers that declare the queue; a new dict each time."""
        return self._declaration(
            self.queue, dead_letter_key=self.dead_letter_queue, prefetch=str(self.effective_prefetch)
        )

    def dead_letter_headers(self) -> dict[str, Any]:
        """Return the SUBSCRIBE headers that declare the dead letter queue; a new dict each time.

        Its own dead letters would go to a queue that nobody declares: a quirk to keep, as arguments cannot be changed.
        Whatever the main queue is, this one outlives the connection that declares it.
        """
        headers = self._declaration(
            self.dead_letter_queue, dead_letter_key=f"DLQ.DLQ.{self.dead_letter_queue}", prefetch="1"
        )
        return headers | {"exclusive": False, "auto-delete": "false"}

    def _declaration(self, queue: str, *, dead_letter_key: str, prefetch: str) -> dict[str, Any]:
        return {
            **self.queue_headers,
            "prefetch-count": prefetch,
            "exclusive": settings.DEFAULT_EXCLUSIVE_QUEUE,
            "x-queue-name": queue,
            "x-dead-letter-routing-key": dead_letter_key,
            "x-dead-letter-exchange": "",
        }


def default_queue(destination: str) -> str:
    """Return the queue of a destination that comes without one: its last segment."""
    queue = destination.rpartition("/")[2]
    if not queue:
        raise ConfigurationError(
            f"The destination {destination!r} ends without a name to call the queue by. Name the queue: "
            "subscribe CALLBACK DESTINATION QUEUE."
        )
    return queue
