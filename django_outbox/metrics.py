"""Every series that a worker exports: names, labels and buckets in one place.

The relay, the consumer and the retention job count here; the worker's HTTP server (``server.py``) shows it. Names and
labels are a promise to dashboards and alert rules. The objects live in Prometheus' default registry, so that a
callback's own metrics come out on the same page.

What lies in the database is not counted but asked for: ``export_backlog`` registers a collector that reads it at scrape
time. A value that cannot be known is absent, never 0.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import django
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

logger = logging.getLogger("django_outbox_pattern.metrics")

# A confirm takes about a millisecond beside the broker and some seconds through a busy cluster.
_ROUND_TRIP = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
# A lag may be an outage of hours: the upper buckets tell "minutes" from "hours".
_LAG = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_CALLBACK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)


@dataclass(frozen=True)
class GaugeName:
    """A gauge whose values the collector computes: there is nothing to set from outside."""

    name: str
    help: str
    labels: tuple[str, ...]

    def family(self) -> GaugeMetricFamily:
        """Return a new, empty family to put samples into."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)


PENDING = GaugeName("outbox_pending_messages", "Rows waiting to be published.", ("destination",))
FAILED = GaugeName("outbox_failed_messages", "Rows parked as failed until someone replays them.", ("destination",))
BLOCKED = GaugeName(
    "outbox_blocked_messages", "Waiting rows that a failed row of their key holds up.", ("destination",)
)
OLDEST_PENDING = GaugeName(
    "outbox_oldest_pending_timestamp_seconds",
    "When the oldest row that still waits was added; absent if none waits.",
    ("destination",),
)

PUBLISHED = Counter(
    "outbox_published_messages_total", "Messages the broker confirmed or refused.", ("destination", "result")
)
PUBLISH_RETRIES = Counter(
    "outbox_publish_retries_total", "Sends that failed and were scheduled again.", ("destination", "reason")
)
PUBLISH_DURATION = Histogram(
    "outbox_publish_duration_seconds", "From the SEND to the broker's receipt.", ("destination",), buckets=_ROUND_TRIP
)
PUBLISH_LAG = Histogram(
    "outbox_publish_lag_seconds", "From the row being added to the broker's receipt.", ("destination",), buckets=_LAG
)
BROKER_BLOCKED = Gauge(
    "outbox_broker_blocked", "1 while the broker is connected but reads nothing that is published.", ("host",)
)
PUBLISH_BATCH = Histogram("outbox_publish_batch_messages", "Rows claimed at a time.", buckets=_BATCH)

WAKEUPS = Counter(
    "outbox_wakeups_total", "Times that a resting publisher found work, by what made it look.", ("source",)
)

RECEIVED = Counter("outbox_received_messages_total", "Deliveries settled, by how they ended.", ("queue", "result"))
REDELIVERED = Counter(
    "outbox_redelivered_messages_total", "Deliveries that the broker marked as redelivered.", ("queue",)
)
RETRIED = Counter("outbox_retried_messages_total", "Failed messages sent away for a later try.", ("queue",))
DEAD_LETTERED = Counter(
    "outbox_dead_lettered_messages_total", "Messages sent to the dead letter queue, by us or by a refusal.", ("queue",)
)
CALLBACK_DURATION = Histogram(
    "outbox_callback_duration_seconds", "Time spent in the callback.", ("queue", "callback"), buckets=_CALLBACK
)
RECEIVE_LAG = Histogram(
    "outbox_receive_lag_seconds", "From the message's sent time to its acknowledgement.", ("queue",), buckets=_LAG
)
INFLIGHT = Gauge("outbox_inflight_messages", "Deliveries that a callback works on right now.", ("queue",))

BROKER_CONNECTED = Gauge("outbox_broker_connected", "1 while the worker is connected to the broker.", ("host",))
BROKER_RECONNECTS = Counter(
    "outbox_broker_reconnects_total", "Connections to the broker opened anew.", ("host", "reason")
)
LOOP_LAST_SUCCESS = Gauge(
    "outbox_loop_last_success_timestamp_seconds", "When the worker's loop last did all it should.", ("role",)
)
WORKER_INFO = Gauge("outbox_worker_info", "Always 1: what runs here.", ("role", "version", "django", "python"))
PURGED = Counter("outbox_purged_messages_total", "Finished rows that retention removed.", ("table",))


def describe_worker(role: str, version: str) -> None:
    """Set ``outbox_worker_info`` for this process; ``role`` is ``publisher`` or ``subscription``."""
    WORKER_INFO.labels(role, version, django.get_version(), platform.python_version()).set(1)


class BacklogRow(Protocol):
    """What is known of one destination; ``store.backlog`` returns such rows."""

    @property
    def destination(self) -> str: ...
    @property
    def pending(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def blocked(self) -> int: ...
    @property
    def oldest_pending(self) -> datetime | None: ...


@dataclass(eq=False)
class BacklogCollector(Collector):
    """Ask for the backlog when Prometheus scrapes, at most once in ``max_age`` seconds.

    ``read`` returns the rows and raises whatever it likes when the database cannot be asked; then the series are
    absent until it can be again. It is called on the server's thread and must close the connection it opened.
    """

    read: Callable[[], Iterable[BacklogRow]]
    max_age: float = 5.0
    clock: Callable[[], float] = time.monotonic
    _known: set[str] = field(default_factory=set, init=False)
    _rows: list[BacklogRow] | None = field(default=None, init=False)
    _read_at: float | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def describe(self) -> Iterable[Metric]:
        """Name the families without asking the database: registering must not need one."""
        return [PENDING.family(), FAILED.family(), BLOCKED.family(), OLDEST_PENDING.family()]

    def collect(self) -> Iterator[Metric]:
        """Yield the backlog gauges; no samples at all while the database does not answer."""
        rows = self._current()
        pending, failed, blocked, oldest = (gauge.family() for gauge in (PENDING, FAILED, BLOCKED, OLDEST_PENDING))
        if rows is not None:
            by_destination = {row.destination: row for row in rows}
            self._known |= by_destination.keys() | _published_destinations()
            for destination in sorted(self._known):
                row = by_destination.get(destination)
                pending.add_metric([destination], row.pending if row else 0)
                failed.add_metric([destination], row.failed if row else 0)
                blocked.add_metric([destination], row.blocked if row else 0)
                if row and row.oldest_pending is not None:
                    oldest.add_metric([destination], row.oldest_pending.timestamp())
        yield from (pending, failed, blocked, oldest)

    def _current(self) -> list[BacklogRow] | None:
        """Return rows no older than ``max_age``, None when there are none to be had."""
        # A scrape that comes while the database keeps another one waiting must not queue up behind it.
        if not self._lock.acquire(blocking=False):
            return None
        try:
            if self._read_at is None or self.clock() - self._read_at >= self.max_age:
                self._rows = self._read_rows()
                self._read_at = self.clock()
            return self._rows
        finally:
            self._lock.release()

    def _read_rows(self) -> list[BacklogRow] | None:
        try:
            return list(self.read())
        except Exception as error:  # noqa: BLE001 - the page must come out whatever is wrong with the database
            logger.warning("The backlog cannot be read, its series are absent: %s", error)
            return None


def export_backlog(
    read: Callable[[], Iterable[BacklogRow]], registry: CollectorRegistry = REGISTRY
) -> BacklogCollector:
    """Publish the backlog that ``read`` returns; only publishers do. Unregister the returned collector to stop."""
    collector = BacklogCollector(read)
    registry.register(collector)
    return collector


def _published_destinations() -> set[str]:
    """Return the destinations this process has published to: theirs is a true 0 when nothing waits."""
    return {sample.labels["destination"] for metric in PUBLISHED.collect() for sample in metric.samples}
