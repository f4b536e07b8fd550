"""``outbox purge``: remove finished rows now, beside what the workers do by themselves."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.utils import timezone

from django_outbox import inbox, settings, store, upkeep
from django_outbox.cli import FINE, WRONG_USAGE
from django_outbox.cli.arguments import add_database, add_dry_run, add_json, database_from, duration, positive_number
from django_outbox.cli.output import plural
from django_outbox.durations import span
from django_outbox.outbox import published_model
from django_outbox.retention import BITE

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import Model

    from django_outbox.cli.output import Output

HELP = "remove finished rows that are old; what waits or failed always stays"

# For the progress bar and the dry run; beyond it only "more than" is known.
_COUNTED = 1_000_000
_PAUSE_SECONDS = 0.02


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "--older-than",
        type=duration,
        metavar="AGE",
        help="rows written longer ago, like 30d (default: DAYS_TO_KEEP_DATA)",
    )
    parser.add_argument("--table", choices=("published", "received", "both"), default="both", help="default: both")
    parser.add_argument("--limit", type=positive_number, help="remove no more rows of a table than this")
    add_dry_run(parser)
    add_database(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Remove in small bites, each a transaction of its own. Exit code 0, also when nothing is old enough."""
    seconds = _age_from(options)
    before = timezone.now() - timedelta(seconds=seconds)
    document: dict[str, Any] = {"older_than_seconds": seconds, "dry_run": options["dry_run"]}
    for name, model, using in _tables(options):
        bound = min(options["limit"] or _COUNTED, _COUNTED)
        found = upkeep.count_up_to(upkeep.finished(model, before, using), bound)
        removed = 0
        if not options["dry_run"]:
            bites = _bites(model, before, using, options["limit"])
            removed = sum(out.progress(bites, found, f"rows of {name}"))
        document[name] = {"database": using, "found": found, "removed": removed}
        more = "at least " if found == bound else ""
        deed = f"{more}{plural(found, 'row')} would go" if options["dry_run"] else f"{plural(removed, 'row')} removed"
        out.line(f"{name}: {deed}, finished and more than {span(seconds)} old.")
    out.document(document)
    return FINE


def _age_from(options: dict[str, Any]) -> float:
    if options["older_than"] is not None:
        return float(options["older_than"])
    if settings.DAYS_TO_KEEP_DATA is None:
        raise CommandError(
            "DAYS_TO_KEEP_DATA is None, which keeps every row. Say how old rows must be: --older-than 30d.",
            returncode=WRONG_USAGE,
        )
    return settings.DAYS_TO_KEEP_DATA * 86400


def _tables(options: dict[str, Any]) -> Iterator[tuple[str, type[Model], str]]:
    if options["table"] != "received":
        yield "published", published_model(), database_from(options)
    if options["table"] != "published":
        database_from(options)
        yield "received", inbox.received_class(), options["database"] or inbox.database_of(inbox.received_class())


def _bites(model: type[Model], before: datetime, using: str, limit: int | None) -> Iterator[int]:
    removed = 0
    while limit is None or removed < limit:
        size = BITE if limit is None else min(BITE, limit - removed)
        bite = store.remove_finished(model, before, size, using)
        removed += bite
        yield bite
        if bite < size:
            return
        # The workers' statements get their turn in between.
        time.sleep(_PAUSE_SECONDS)
