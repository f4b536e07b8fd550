"""Wake the publisher when something was written to the outbox, instead of letting it find out by looking.

PostgreSQL only. The writing side sends a NOTIFY after its commit, not in it (commits that notify wait for each other),
at most one per process and ``NOTIFY_DEBOUNCE`` seconds; a woken publisher looks often enough for a while to see what
was written in between. The publisher listens on a connection of its own. Nothing depends on any of it: a NOTIFY that
fails or is never heard costs the time until the next look. Called by ``models.py`` and ``manage.py publish``.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections, transaction
from django.db.transaction import TransactionManagementError

from django_outbox import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

logger = logging.getLogger("django_outbox_pattern")

CHANNEL = "django_outbox"
# A link that died without a word is found by asking something over it.
PROBE_SECONDS = 30.0
_BACKOFF_LIMIT_SECONDS = 5.0

_quiet_until: dict[str, float] = {}


def works_with(using: str) -> bool:
    """Tell whether writers to this database wake its publishers."""
    return bool(settings.WAKE_BY_NOTIFY) and connections[using].vendor == "postgresql"


def notify_after_commit(using: str) -> None:
    """Wake the publishers of a database once the transaction that is open on it is committed; never raises."""
    if (_is_quiet(using) and not connections[using].in_atomic_block) or not works_with(using):
        return
    try:
        transaction.on_commit(partial(_notify, using), using=using, robust=True)
    except TransactionManagementError:
        # Whoever manages transactions by hand has no moment after the commit that we could know of.
        logger.debug("No wake-up is sent from a transaction that is managed by hand")


def _notify(using: str) -> None:
    if _is_quiet(using):
        return
    _quiet_until[using] = time.monotonic() + settings.NOTIFY_DEBOUNCE
    try:
        with connections[using].cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")
    except DatabaseError as error:
        logger.debug("The publisher could not be woken and will look by itself: %s", error)


def _is_quiet(using: str) -> bool:
    """Tell whether the publishers were woken a moment ago, and look often for now."""
    return time.monotonic() < _quiet_until.get(using, 0.0)


class Listener:
    """Calls ``on_wake`` whenever a writer says so; a context manager that runs a thread with its own connection.

    A connection that is lost is opened again, with growing waits of at most five seconds, and then ``on_wake`` is
    called as well: something may have been missed.
    """

    def __init__(self, using: str, on_wake: Callable[[], None]) -> None:
        self.using = using
        self.on_wake = on_wake
        self.is_listening = threading.Event()
        self._is_over = threading.Event()
        self._bell, self._rope = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="outbox-listener", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._rope.send(b"x")
        # Opening a connection to a host that swallows packets takes as long as it takes.
        self._thread.join(timeout=2)
        if not self._thread.is_alive():
            self._bell.close()
            self._rope.close()

    def _run(self) -> None:
        failures = 0
        while not self._is_over.is_set():
            try:
                connection = self._connect()
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, looking goes on without us
                failures += 1
                logger.debug("Cannot listen for wake-ups, trying again: %s", error)
                self._is_over.wait(min(0.1 * 2.0 ** min(failures, 10), _BACKOFF_LIMIT_SECONDS))
                continue
            failures = 0
            try:
                self._listen(connection)
            except Exception as error:  # noqa: BLE001 - as above
                logger.info("The connection for wake-ups was lost, opening a new one: %s", str(error).strip())
            finally:
                self.is_listening.clear()
                _close(connection)

    def _connect(self) -> Any:
        # The driver's own connection: one out of Django's pool would be given to others while it listens.
        wrapper: Any = connections[self.using]
        connection = wrapper.Database.connect(**wrapper.get_connection_params())
        try:
            connection.autocommit = True
            _execute(connection, f"LISTEN {CHANNEL}")
        except BaseException:
            _close(connection)
            raise
        return connection

    def _listen(self, connection: Any) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            self.is_listening.set()
            self.on_wake()
            while not self._is_over.is_set():
                if not selector.select(PROBE_SECONDS):
                    _execute(connection, "SELECT 1")
                    # What came in with the answer was taken by the driver.
                    self.on_wake()
                elif not self._is_over.is_set() and _was_notified(connection):
                    self.on_wake()


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _was_notified(connection: Any) -> bool:
    """Read what has come in; raise the driver's error when the connection has ended."""
    low_level = getattr(connection, "pgconn", None)
    if low_level is None:  # psycopg2
        connection.poll()
        heard = bool(connection.notifies)
        connection.notifies.clear()
        return heard
    low_level.consume_input()
    heard = False
    while low_level.notifies() is not None:
        heard = True
    return heard


def _close(connection: Any) -> None:
    try:
        connection.close()
    except Exception as error:  # noqa: BLE001 - it was of no use any more
        logger.debug("Closing the connection for wake-ups failed: %s", error)
