"""All that stands in one place: an application, publishers, a subscriber, on one broker and one database.

Processes are started once a place, side by side, and used by all of its tests; each test has names of its own.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tests.integration.conformance.application import Application
from tests.integration.library.consume.subscriber import Subscriber, Subscribers
from tests.integration.library.publish.publisher import SUCCEEDED, Project, Publisher

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conformance.brokers import Broker
    from tests.stomp_queue import StompQueue

RECEIVED = "outbox_received_messages_total"
PAUSE_SECONDS = 600
# A row is parked with its fourth failure; the third has it rest for longer than any test runs.
PUBLISHING = {"DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 4, "DEFAULT_PAUSE_FOR_RETRY": PAUSE_SECONDS}
SUBSCRIBING = {"CONSUMER_RETRY_DELAYS": [0.3, 0.6]}


@dataclass
class SiteDatabase:
    """The database, as what starts workers wants it: rows are looked at through the application."""

    django: dict[str, Any]
    application: Application | None = None

    def ask(self, expression: str, **names: Any) -> Any:
        """Evaluate an expression in the application."""
        assert self.application is not None
        return self.application.ask(expression, **names)

    def states(self) -> dict[str, int]:
        """How many rows are in each state."""
        return dict(self.ask("list(Published.objects.values_list('status').annotate(Count('pk')))"))

    def count(self, status: int) -> int:
        """How many rows are in a state."""
        return int(self.ask("Published.objects.filter(status=status).count()", status=status))


@dataclass
class Site:
    """One place."""

    broker: Broker
    database: SiteDatabase
    folder: Path
    name: str = field(default_factory=lambda: f"site-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self.project = Project(self.database, self.broker.server, self.folder)  # type: ignore[arg-type]
        self.project.settings = {**self.broker.settings, **PUBLISHING}
        self.subscribers = Subscribers(self.broker.server, self.database, self.folder)  # type: ignore[arg-type]
        self.application = Application(self.project.environment(), self.folder / "application.log")
        self.database.application = self.application

    def open(self) -> None:
        """Begin with empty tables, and with a publisher and a subscriber that are ready."""
        self.ask("[model.objects.all().delete() for model in (Published, Received, Effect)] and None")
        workers: list[Publisher | Subscriber] = [self.publisher, self.subscriber]
        for worker in workers:
            worker.wait_ready()

    def close(self) -> None:
        """End all processes, and remove what they made on the broker."""
        for worker in (*self.project.running, *self.subscribers.running):
            worker.end()
        self.application.end()
        self.broker.forget(self.name)

    def ask(self, expression: str, **names: Any) -> Any:
        """Evaluate an expression in the application."""
        return self.application.ask(expression, **names)

    # --- publishing

    @cached_property
    def publisher(self) -> Publisher:
        """The publisher that always runs."""
        return self.publish()

    def publish(self) -> Publisher:
        """Start another one."""
        return self.project.publish("--batch-size", "20")

    def queue(self, name: str) -> StompQueue:
        """Make a queue of this place."""
        return self.broker.make_queue(f"{self.name}-{name}-{uuid.uuid4().hex[:6]}")

    def fill(self, queue: StompQueue, count: int, keys: int | None = None) -> None:
        """Write numbered events to a queue."""
        self.ask("fill(destination, count, keys)", destination=queue.destination, count=count, keys=keys)

    def sent(self, destination: str) -> int:
        """How many rows to a destination are marked as sent."""
        rows = "Published.objects.filter(destination=destination, status=status).count()"
        return int(self.ask(rows, destination=destination, status=SUCCEEDED))

    def wait_sent(self, queue: StompQueue, count: int) -> None:
        """Wait until so many rows to a queue are marked as sent."""
        self.publisher.wait_for(f"{count} rows sent", lambda: self.sent(queue.destination) == count)

    # --- consuming

    @cached_property
    def subscriber(self) -> Subscriber:
        """The subscriber that always runs, to the events of `topic`."""
        return self.subscribe("as_told", self.topic, self.name)

    @property
    def topic(self) -> str:
        """What the subscriber subscribes to."""
        return self.broker.topic(self.name)

    @property
    def origin(self) -> str:
        """Where its messages say that they come from."""
        return self.broker.origin(self.name)

    def subscribe(self, callback: str, destination: str, queue: str, *options: str) -> Subscriber:
        """Start another one."""
        return self.subscribers.start(callback, destination, queue, *options, **self.broker.settings, **SUBSCRIBING)

    def event(self, how: str, topic: str | None = None, count: int = 1) -> str:
        """Write events that tell their callback what to do; returns the key of their effects, the last one's id."""
        key = uuid.uuid4().hex
        rows = "[str(enqueue(topic, {'key': key, 'how': how}).pk) for _ in range(count)][-1]"
        self.msg_id = self.ask(rows, topic=topic or self.topic, key=key, how=how, count=count)
        return key

    def effects(self, key: str) -> list[str]:
        """What the callbacks left for a key, oldest first: how each went."""
        found = self.ask("list(Effect.objects.filter(key__startswith=key).order_by('pk').values_list('key'))", key=key)
        return [effect.removeprefix(key).strip() for (effect,) in found]

    def received(self, result: str) -> float:
        """How many messages the subscriber settled in this way."""
        return self.subscriber.metric(RECEIVED, queue=self.name, result=result) or 0

    # --- dead letters

    def dlq(self, deed: str, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run ``outbox dlq`` for the subscriber's queue and return the document it prints."""
        return self.application.manage("outbox", "dlq", deed, self.name, "--json", *arguments).document(code)

    def letters(self, msg_id: str) -> list[dict[str, Any]]:
        """What `outbox dlq list` shows of the subscriber's dead letters of this id; none is no failure."""
        which = ("--id", msg_id, "--limit=1", "--wait=1s")
        ended = self.application.manage("outbox", "dlq", "list", self.name, "--json", *which)
        return list(ended.document(ended.code and 2)["letters"])


def numbers(messages: list[Any]) -> list[int]:
    """Return the numbers of events in the order in which they arrived."""
    return [json.loads(message.body)["n"] for message in messages]
