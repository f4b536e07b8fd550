"""The publisher's engine: claim a batch, send it, wait for the receipts, settle it, again.

``manage.py publish`` runs a ``Relay``. Claims are short transactions (``store``), the network is never waited for
inside one, and a row is marked as sent only after the broker's receipt for it. What happens to rows without one is
decided in ``isolation.py`` and ``retry.py`` and written down by ``bookkeeping.py``. A broker or a database that goes
away is waited for (``endurance.py``), and costs no row an attempt.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS
from django.db import Error as DatabaseTrouble

from django_outbox import metrics, settings, store
from django_outbox.bases import worker_backoff_seconds
from django_outbox.blocking import Blocking
from django_outbox.bookkeeping import Bookkeeper
from django_outbox.composing import compose
from django_outbox.endurance import Endurance, GaveUp
from django_outbox.exceptions import BrokerRefused, BrokerUnavailable
from django_outbox.isolation import Isolation
from django_outbox.lifecycle import EXIT_ASKED_TO_STOP, EXIT_GAVE_UP
from django_outbox.overlap import Overlap
from django_outbox.pace import Pace
from django_outbox.store import Share
from django_outbox.transport.base import Patience

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django_outbox.health import Health
    from django_outbox.lifecycle import StopSignal
    from django_outbox.store import Claim, ClaimedRow, Due
    from django_outbox.transport.base import SendReport, Transport

logger = logging.getLogger("django_outbox_pattern")

DEFAULT_SHUTDOWN_SECONDS = 30.0
# A lost connection is opened again at once; this keeps a broker that drops each new one from being hammered.
RECONNECT_PAUSE_SECONDS = 0.2
# Rows that have failed before: how many at a time, and how long each may keep the others waiting. They, and the rows
# with a key, are looked for after so many full batches at the latest.
_SUSPECTS_AT_A_TIME = 10
_LOOK_EVERY = 20
_SUSPECT_SECONDS = 5.0
_PARKED_AT_A_TIME = 1000
_ANSWER_SECONDS = 1.0
# A claim made ahead may use up this part of its lease before it is sent.
_FRESH_PART = 8


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """How a relay works; times in seconds."""

    using: str
    batch_size: int
    lease: float
    receipt_timeout: float
    idle_wait: float
    shutdown_timeout: float

    @classmethod
    def from_settings(cls, using: str = DEFAULT_DB_ALIAS, batch_size: int | None = None) -> RelayOptions:
        """Return what the settings ask for, on the database ``using``."""
        limit = settings.SHUTDOWN_TIMEOUT
        return cls(
            using=using,
            batch_size=batch_size or settings.PUBLISH_BATCH_SIZE,
            lease=settings.CLAIM_LEASE,
            receipt_timeout=settings.RECEIPT_TIMEOUT,
            idle_wait=settings.DEFAULT_PRODUCER_WAITING_TIME,
            shutdown_timeout=DEFAULT_SHUTDOWN_SECONDS if limit is None else limit,
        )


class Relay:
    """Moves rows from the outbox to the broker until it is asked to stop."""

    def __init__(self, transport: Transport, stop: StopSignal, health: Health, options: RelayOptions) -> None:
        self.transport = transport
        self.stop = stop
        self.health = health
        self.options = options
        # Apart: what one share does to the connection must not make the batches of the other small.
        self.isolations = {share: Isolation(options.batch_size) for share in (Share.UNKEYED, Share.KEYED)}
        self.blocking = Blocking(health)
        self._connect_failures = 0
        self._lost_because: str | None = None
        self._host = ""
        self._idle = False
        self._batches = 0
        self._keys_are_busy = False
        self._notified = False
        self.pace = Pace(options.idle_wait)
        self._endurance = Endurance(options.using, stop, health, options.shutdown_timeout)
        self._books = Bookkeeper(options.using, stop, self._endurance)
        self._overlap = Overlap(self._books.settle, self._books.release, options.lease / _FRESH_PART)

    def run(self) -> int:
        """Publish until asked to stop; return the process's exit code."""
        self._overlap.is_on = True
        try:
            while not self.stop.is_set():
                self.health.beat()
                if self._connected() and self._broker_reads():
                    self._publish_or_wait()
            self._overlap.end()
        except GaveUp:
            # The trouble itself has been logged each time it was met.
            logger.error(  # noqa: TRY400
                "Stopped with work in flight: its claims end by themselves and its rows are sent again"
            )
            return EXIT_GAVE_UP
        finally:
            self.transport.close()
            self._note_loss("stopped")
        return EXIT_ASKED_TO_STOP

    def connect(self) -> None:
        """Open the connection once. Raises ``BrokerUnavailable`` or ``BrokerRefused``."""
        self.transport.connect()
        self._connect_failures = 0
        self._host = self.transport.host
        if self._lost_because is not None:
            metrics.BROKER_RECONNECTS.labels(host=self._host, reason=self._lost_because).inc()
            self._lost_because = None
        metrics.BROKER_CONNECTED.labels(host=self._host).set(1)
        self.blocking.on_connected(self._host)
        if not self.blocking.is_on:
            self.health.set_ready("broker", ok=True, reason=f"connected to {self._host}")
        logger.info("Connected to the broker at %s", self._host, extra={"broker": self._host})

    def publish_batch(self, due: Due | None = None) -> int:
        """Claim, send and settle a batch of each share of the rows; return how many rows were claimed.

        ``due`` is what a look has just shown. Without one, rows without a key are claimed unseen, and the others are
        looked for when those are few, and now and then when they are not. Raises Django's database errors.
        """
        claimed = self._publish_clean(Share.UNKEYED) if due is None or due.unkeyed else 0
        self._batches += 1
        is_looking = claimed < self.options.batch_size or self._keys_are_busy or self._batches % _LOOK_EVERY == 0
        if due is None and is_looking:
            due = store.look(self.options.using)
        if due is not None and (due.keyed or due.troubled):
            self._overlap.catch_up()
        if due is not None and due.keyed:
            of_keys = self._publish_clean(Share.KEYED)
            self._keys_are_busy = of_keys > 0
            claimed += of_keys
        if due is not None and due.troubled:
            claimed += self._publish_suspects()
        return claimed

    def _publish_clean(self, share: Share) -> int:
        """Send rows that never failed: all at once, those of one key one after the other."""
        isolation = self.isolations[share]
        if self.blocking.must_ask:
            self._overlap.end()
            return 0
        limit = 1 if self.blocking.is_on else isolation.limit
        claim = self._overlap.take() if share is Share.UNKEYED else None
        if claim is None:
            claim = store.claim(limit, self.options.lease, self.options.using, share=share)
        self.health.set_ready("database", ok=True, reason="answers")
        if claim.rows:
            metrics.PUBLISH_BATCH.observe(len(claim.rows))
            overlaps = self._overlap.is_on and share is Share.UNKEYED and len(claim.rows) == self.options.batch_size
            self._send(claim, claim.rows, self.options.receipt_timeout, isolation, overlaps=overlaps)
        else:
            self._overlap.catch_up()
        if share is Share.KEYED and len(claim.rows) < limit and settings.ORDER_ON_FAILURE == "park":
            self._park_followers()
        return len(claim.rows)

    def _park_followers(self) -> None:
        if parked := store.park_followers(_PARKED_AT_A_TIME, self.options.using):
            logger.error("%d messages are parked as failed behind an earlier one of their key", parked)

    def _publish_suspects(self) -> int:
        """Send a few of the rows that have failed before, each alone: what they break, they break for themselves."""
        if not self.transport.is_connected() or self.stop.is_set() or self.blocking.is_on:
            return 0
        claim = store.claim(_SUSPECTS_AT_A_TIME, self.options.lease, self.options.using, share=Share.TROUBLED)
        patience = min(self.options.receipt_timeout, _SUSPECT_SECONDS)
        isolation = self.isolations[Share.UNKEYED]
        for done, row in enumerate(claim.rows, start=1):
            if not self._send(claim, [row], patience, isolation) or self.stop.is_set():
                self._books.give_back(claim, [other.id for other in claim.rows[done:]])
                break
        return len(claim.rows)

    def _send(
        self, claim: Claim, rows: Sequence[ClaimedRow], seconds: float, isolation: Isolation, *, overlaps: bool = False
    ) -> bool:
        """Send rows, settle them, and tell whether the connection is still good.

        With ``overlaps`` the batch before is settled and the next is claimed while these are on the wire.
        """
        messages, unsayable = compose(rows)
        report = self.transport.send(messages, self._patience(seconds), self._meanwhile if overlaps else None)
        report.refused.update(unsayable)
        is_clean = report.unsettled is None and len(report.confirmed) == len(rows)
        if overlaps and is_clean:
            isolation.judge(rows, report)
            self._overlap.put_off(claim, rows, report)
        else:
            self._overlap.end()
            self._conclude(claim, rows, report, isolation)
        if report.blocked:
            self.blocking.begin(self._host)
        elif report.confirmed and report.unsettled is None:
            self.blocking.on_rest()
        return report.unsettled is None

    def _meanwhile(self) -> None:
        self._overlap.catch_up()
        if self.stop.is_set():
            return
        try:
            self._overlap.keep(store.claim(self.options.batch_size, self.options.lease, self.options.using))
        except DatabaseTrouble as error:
            # What is on the wire has to be concluded first.
            self._endurance.ride_out(error)

    def wake(self) -> None:
        """Look into the outbox now; from any thread."""
        self._notified = True
        self.stop.nudge()

    def _publish_or_wait(self) -> None:
        source = "notify" if self._notified else "poll"
        self._notified = False
        try:
            # Who is woken need not ask whether there is something.
            due = store.look(self.options.using) if self._idle and source == "poll" else None
            self.health.set_ready("database", ok=True, reason="answers")
            claimed = 0 if due is not None and not due else self.publish_batch(due)
        except DatabaseTrouble as error:
            self._endurance.ride_out(error)
            return
        if claimed or source == "notify":
            self.pace.hurry()
        if claimed and self._idle:
            metrics.WAKEUPS.labels(source=source).inc()
        self._idle = claimed == 0
        if self._idle:
            self.blocking.on_rest()
        if self.transport.is_connected():
            metrics.LOOP_LAST_SUCCESS.labels(role="publisher").set_to_current_time()
        if self._idle:
            self.stop.wait(self.pace.rest())

    def _broker_reads(self) -> bool:
        """Tell whether there is sense in sending; ask a broker that had stopped reading, about once a second."""
        if self.blocking.must_ask:
            if not self.transport.is_answered(self._patience(_ANSWER_SECONDS)):
                self.stop.wait(RECONNECT_PAUSE_SECONDS)
                return False
            self.blocking.end()
        return True

    def _connected(self) -> bool:
        """Tell whether there is a connection, after trying to make one where there is none."""
        if self.transport.is_connected():
            return True
        self._note_loss("connection_lost")
        self._overlap.end()
        try:
            self.connect()
        except (BrokerUnavailable, BrokerRefused) as error:
            self._connect_failures += 1
            self.health.set_ready("broker", ok=False, reason=str(error))
            seconds = worker_backoff_seconds(self._connect_failures)
            logger.warning("%s Trying again in %.1f s.", error, seconds)
            self._endurance.rest(seconds)
            return False
        return True

    def _note_loss(self, reason: str) -> None:
        """Report a connection that stood before as gone, once for each time it goes."""
        if self._host and self._lost_because is None:
            self._lost_because = reason
            metrics.BROKER_CONNECTED.labels(host=self._host).set(0)
            self.health.set_ready("broker", ok=False, reason="the connection was lost, connecting again")

    def _conclude(self, claim: Claim, rows: Sequence[ClaimedRow], report: SendReport, isolation: Isolation) -> None:
        """Have it judged and written down what became of a batch."""
        sent = [row for row in rows if row.id not in report.unsent]
        again = self._books.conclude(claim, sent, report, isolation.judge(sent, report))
        if report.unsettled is not None:
            self._after_loss(report, again, isolation.limit)

    def _after_loss(self, report: SendReport, unanswered: int, limit: int) -> None:
        self._note_loss(str(report.unsettled))
        logger.warning(
            "A batch ended early: %s. %d messages are sent again, %d at a time.",
            report.detail,
            unanswered,
            limit,
            extra={"broker": self._host},
        )
        self.stop.wait(RECONNECT_PAUSE_SECONDS)

    def _patience(self, seconds: float) -> Patience:
        deadline = time.monotonic() + seconds
        return Patience(deadline=deadline, tick=self.health.beat, limit=self._endurance.deadline)
