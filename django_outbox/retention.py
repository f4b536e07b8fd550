"""Removes rows that are finished and old, beside the work and in small bites.

Both commands start a ``Janitor`` for their table. Only rows that have succeeded are ever removed: what waits or has
failed stays, however old. One process in ``REMOVE_DATA_CACHE_TTL`` seconds does it, where Django's cache is shared.
"""

from __future__ import annotations

import logging
import random
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.cache import cache
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone
from django.utils.module_loading import import_string

from django_outbox import metrics, settings, store

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from django.db.models import Model

logger = logging.getLogger("django_outbox_pattern")

BITE = 1000
_PAUSE_BETWEEN_BITES_SECONDS = 0.1
# A new worker's first thought is its work; and many that start together should not think of this at once.
_FIRST_LOOK_SECONDS = (30.0, 90.0)
_LONGEST_SLEEP_SECONDS = 3600.0


def purge(
    model: type[Model], using: str = DEFAULT_DB_ALIAS, should_stop: Callable[[float], bool] = lambda _seconds: False
) -> int:
    """Remove finished rows older than ``DAYS_TO_KEEP_DATA`` days and return how many; None there keeps everything.

    ``should_stop`` is asked to wait so many seconds between two bites and to say whether to leave the rest.
    """
    days = settings.DAYS_TO_KEEP_DATA
    if days is None:
        return 0
    before = timezone.now() - timedelta(days=days)
    removed = 0
    while True:
        bite = store.remove_finished(model, before, BITE, using)
        removed += bite
        metrics.PURGED.labels(table=model._meta.db_table).inc(bite)
        if bite < BITE or should_stop(_PAUSE_BETWEEN_BITES_SECONDS):
            return removed


class Janitor:
    """Purges one table now and then, on a thread of its own; a context manager that starts and stops it."""

    def __init__(self, model_setting: str, cache_key_setting: str, using: str = DEFAULT_DB_ALIAS) -> None:
        self.model_setting = model_setting
        self.cache_key_setting = cache_key_setting
        self.using = using
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox-janitor", daemon=True)

    @classmethod
    def of_published(cls, using: str = DEFAULT_DB_ALIAS) -> Janitor:
        """Return the one that the publisher starts."""
        return cls("DEFAULT_PUBLISHED_CLASS", "OUTBOX_PATTERN_PUBLISHER_CACHE_KEY", using)

    @classmethod
    def of_received(cls, using: str = DEFAULT_DB_ALIAS) -> Janitor:
        """Return the one that the consumer starts."""
        return cls("DEFAULT_RECEIVED_CLASS", "OUTBOX_PATTERN_CONSUMER_CACHE_KEY", using)

    def __enter__(self) -> Janitor:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=2)

    def purge_if_due(self) -> int:
        """Purge unless somebody did so within ``REMOVE_DATA_CACHE_TTL`` seconds; return how many rows went."""
        if not cache.add(settings.value_of(self.cache_key_setting), True, settings.REMOVE_DATA_CACHE_TTL):
            return 0
        model: type[Model] = import_string(settings.value_of(self.model_setting))
        removed = purge(model, self.using, self._stop.wait)
        if removed:
            logger.info("Removed %d finished rows from %s", removed, model._meta.db_table)
        return removed

    def _run(self) -> None:
        sleep = random.uniform(*_FIRST_LOOK_SECONDS)  # noqa: S311
        while not self._stop.wait(sleep):
            try:
                self.purge_if_due()
            except Exception as error:  # noqa: BLE001 - cleaning up must never cost the worker its life
                logger.warning("Old rows cannot be removed now, trying again later: %s", error)
            finally:
                connections[self.using].close()
            sleep = min(settings.REMOVE_DATA_CACHE_TTL, _LONGEST_SLEEP_SECONDS)
