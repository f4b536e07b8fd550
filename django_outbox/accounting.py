"""Counts and logs what the publisher has sent, a batch at a time: a label is looked up once for each destination."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from django_outbox import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from django_outbox.store import ClaimedRow

logger = logging.getLogger("django_outbox_pattern")


def note_sent(rows: Iterable[ClaimedRow], confirmed: Mapping[UUID, float]) -> None:
    """Note those of ``rows`` that are ``confirmed``, which maps them to the seconds from SEND to receipt."""
    sent_by_destination: dict[str, list[tuple[ClaimedRow, float]]] = {}
    for row in rows:
        seconds = confirmed.get(row.id)
        if seconds is not None:
            sent_by_destination.setdefault(row.destination, []).append((row, seconds))
    now = time.time()
    for destination, sent in sent_by_destination.items():
        metrics.PUBLISHED.labels(destination=destination, result="success").inc(len(sent))
        duration = metrics.PUBLISH_DURATION.labels(destination=destination)
        lag = metrics.PUBLISH_LAG.labels(destination=destination)
        for row, seconds in sent:
            duration.observe(seconds)
            lag.observe(max(0.0, now - row.added))
    if logger.isEnabledFor(logging.INFO):
        for sent in sent_by_destination.values():
            for row, _seconds in sent:
                logger.info("Message published with id: %s", row.id, extra=about(row))


def about(row: ClaimedRow) -> dict[str, Any]:
    """Return the structured fields of a log record about one row; never the body."""
    return {"msg_id": str(row.id), "destination": row.destination}
