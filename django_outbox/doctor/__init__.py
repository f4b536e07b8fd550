"""Proves a project's own settings, database and broker: ``manage.py outbox doctor``.

Everything is tried for real: rows are written and rolled back, a message goes round through a queue of the doctor's own
that is gone afterwards. Nothing is sent to the project's destinations, nothing is taken out of its queues.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_outbox.doctor import broker, database, project, queues
from django_outbox.doctor.findings import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django_outbox.subscription import Subscription

__all__ = ["Finding", "Level", "examine"]


def examine(using: str, destinations: Sequence[str], subscriptions: Sequence[Subscription]) -> Iterator[Finding]:
    """Look at everything, and yield each finding as soon as it is known; never raises for what is not well.

    ``destinations`` are published to, ``subscriptions`` are those whose queues are compared with the broker's.
    """
    yield from project.examine()
    if not project.settings_can_be_read():
        return
    yield from database.examine(using)
    let_in = True
    for finding in broker.examine():
        let_in = let_in and (finding.name, finding.level) != ("broker", Level.FAIL)
        yield finding
    if let_in:
        yield from queues.examine(destinations, subscriptions)
