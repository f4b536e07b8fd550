"""``outbox status``: what waits, since when, and what hinders it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import inbox, store, upkeep
from django_outbox.cli import FINE
from django_outbox.cli.arguments import add_database, add_json, database_from
from django_outbox.durations import age
from django_outbox.outbox import published_model

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output

HELP = "show what waits to be sent, by destination"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    add_database(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Print the state of both tables. Exit code 0, whatever waits."""
    using = database_from(options)
    inbox_using = options["database"] or inbox.database_of(inbox.received_class())
    backlog = sorted(store.backlog(using), key=lambda row: row.destination)
    hand, keys = upkeep.in_hand(using), upkeep.blocked_keys(using)
    sizes = {
        "published": upkeep.estimated_rows(published_model(), using),
        "received": upkeep.estimated_rows(inbox.received_class(), inbox_using),
    }
    _print_backlog(out, backlog, hand)
    _print_keys(out, keys)
    about = [f"{table} about {size:,} rows" for table, size in sizes.items() if size is not None]
    if about:
        out.line(f"Tables: {', '.join(about)}.")
    oldest = [row.oldest_pending for row in backlog if row.oldest_pending is not None]
    out.document(
        {
            "database": using,
            "pending": sum(row.pending for row in backlog),
            "failed": sum(row.failed for row in backlog),
            "claimed": hand.claimed,
            "resting": hand.resting,
            "oldest_pending": min(oldest, default=None),
            "destinations": [
                {
                    "destination": row.destination,
                    "pending": row.pending,
                    "failed": row.failed,
                    "oldest_pending": row.oldest_pending,
                }
                for row in backlog
            ],
            "blocked_keys": [{"key": key.key, "waiting": key.waiting, "oldest": key.oldest} for key in keys],
            "estimated_rows": sizes,
        }
    )
    return FINE


def _print_backlog(out: Output, backlog: list[store.DestinationBacklog], hand: upkeep.InHand) -> None:
    if not backlog:
        out.line("Nothing waits to be sent, nothing has failed.")
        return
    out.table(
        ("DESTINATION", "PENDING", "OLDEST", "FAILED"),
        [(row.destination, row.pending, age(row.oldest_pending), row.failed) for row in backlog],
    )
    pending, failed = sum(row.pending for row in backlog), sum(row.failed for row in backlog)
    out.line()
    out.line(f"{pending:,} pending ({hand.claimed:,} held by a publisher, {hand.resting:,} rest before another")
    out.line(f"attempt), {failed:,} failed.")
    if failed:
        out.line("See why with `outbox audit`, send them again with `outbox retry`.")


def _print_keys(out: Output, keys: list[upkeep.BlockedKey]) -> None:
    if not keys:
        return
    out.line()
    out.table(("BLOCKED KEY", "WAITING", "OLDEST"), [(key.key, key.waiting, age(key.oldest)) for key in keys])
    out.line()
