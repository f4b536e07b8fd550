"""Every query on the outbox table.

The rule that keeps publishers apart: a row is claimed by writing a token and a time limit on it, and from then on only
a statement that names the token may settle it. Whoever slept past the limit and lost its claim changes nothing. All
times are the database's own. Claims are short transactions; nothing here waits for the network.

``claims`` takes rows, ``ordering`` says whose turn it is in a key, ``settling`` writes what became of them,
``counting`` counts, ``removal`` deletes what is old, ``schema`` looks at the table.
"""

from __future__ import annotations

from django_outbox.store.claims import Due, Share, claim, look
from django_outbox.store.counting import DestinationBacklog, backlog
from django_outbox.store.removal import remove_finished
from django_outbox.store.rows import Claim, ClaimedRow, DatabaseNow
from django_outbox.store.schema import NOTES, schema_problem
from django_outbox.store.settling import Failure, charge, defer, park_followers, release, renew, settle

__all__ = [
    "NOTES",
    "Claim",
    "ClaimedRow",
    "DatabaseNow",
    "DestinationBacklog",
    "Due",
    "Failure",
    "Share",
    "backlog",
    "charge",
    "claim",
    "defer",
    "look",
    "park_followers",
    "release",
    "remove_finished",
    "renew",
    "schema_problem",
    "settle",
]
