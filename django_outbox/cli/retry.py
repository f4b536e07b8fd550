"""``outbox retry``: have rows sent again that were given up or abandoned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from django_outbox import upkeep
from django_outbox.cli import FINE, WRONG_USAGE
from django_outbox.cli.arguments import (
    add_database,
    add_dry_run,
    add_json,
    database_from,
    duration,
    positive_number,
    row_id,
)
from django_outbox.cli.output import plural

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output

HELP = "send again what failed, and what django-outbox-pattern let expire"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    which = parser.add_argument_group("which rows (those that fit all of these)")
    which.add_argument("--id", type=row_id, action="append", metavar="ID", help="a row's id; may be given often")
    which.add_argument("--destination", help="rows to exactly this destination")
    which.add_argument("--older-than", type=duration, metavar="AGE", help="rows written longer ago, like 2h or 3d")
    which.add_argument("--error", metavar="TEXT", help="rows whose error has this in it")
    which.add_argument("--all", action="store_true", help="every row that failed or expired")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--failed", action="store_true", help="only rows that are FAILED")
    kinds.add_argument("--expired", action="store_true", help="only rows that wait past their expires_at")
    parser.add_argument("--limit", type=positive_number, help="change no more rows than this")
    add_dry_run(parser)
    add_database(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Put rows back to SCHEDULE, their failures forgotten, in batches. Exit code 0, also when nothing fits."""
    using, wanted = database_from(options), _selection(options)
    rows = upkeep.select(wanted, using)
    matched = rows.count()
    changing = matched if options["limit"] is None else min(matched, options["limit"])
    changed = 0
    if not options["dry_run"]:
        changed = sum(out.progress(upkeep.put_back(rows, changing), changing, "rows"))
    if options["dry_run"]:
        out.line(f"{plural(matched, 'row')} would fit, {changing:,} of them would be sent again. Nothing was changed.")
    else:
        out.line(f"{plural(changed, 'row')} of {matched:,} that fit will be sent again by the next publisher.")
    out.document({"database": using, "matched": matched, "changed": changed, "dry_run": options["dry_run"]})
    return FINE


def _selection(options: dict[str, Any]) -> upkeep.Selection:
    narrowing = ("id", "destination", "older_than", "error")
    if not options["all"] and all(options[name] is None for name in narrowing):
        raise CommandError(
            "Say which rows: --all, or --id, --destination, --older-than or --error. Add --dry-run to only count them.",
            returncode=WRONG_USAGE,
        )
    if options["all"] and options["id"]:
        raise CommandError("--all and --id contradict each other: give one of them.", returncode=WRONG_USAGE)
    return upkeep.Selection(
        ids=tuple(options["id"] or ()),
        destination=options["destination"],
        older_than=options["older_than"],
        error=options["error"],
        failed=not options["expired"],
        expired=not options["failed"],
    )
