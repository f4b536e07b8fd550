"""``outbox audit``: rows that were left behind, by django-outbox-pattern or by trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import upkeep
from django_outbox.cli import FINE, NEEDS_ATTENTION
from django_outbox.cli.arguments import add_database, add_json, database_from, positive_number
from django_outbox.durations import age

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output

HELP = "list rows that were given up, abandoned or left half done"

_MEANING = {
    "expired": (
        "wait past their expires_at, where django-outbox-pattern never sends them",
        "`manage.py publish` sends them; `outbox retry --all --expired` also renews their date",
    ),
    "failed": ("were given up after too many attempts", "`outbox retry --all --failed` sends them again"),
    "headerless": (
        "wait without headers, as bulk_create of django-outbox-pattern wrote them",
        "check that consumers can tell them apart: they carry no dop-msg-id",
    ),
    "lapsed": (
        "are claimed by a publisher that died or stands still",
        "any running publisher takes them over; start one",
    ),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--examples", type=positive_number, default=3, help="ids to show of each kind (default: 3)")
    add_database(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Print each kind with its number. Exit code 2 when there is any such row."""
    using = database_from(options)
    concerns = upkeep.audit(using, options["examples"])
    found = [concern for concern in concerns if concern.count]
    for concern in found:
        meaning, advice = _MEANING[concern.name]
        out.line(f"{concern.count:,} {concern.name}, the oldest {age(concern.oldest)} old: {meaning}.")
        out.line(f"  To do: {advice}.")
        for example in concern.examples:
            out.line(f"  {example}")
        if concern.count > len(concern.examples):
            out.line("  …")
    if not found:
        out.line("Nothing was left behind.")
    out.document(
        {
            "database": using,
            **{
                concern.name: {"count": concern.count, "oldest": concern.oldest, "examples": list(concern.examples)}
                for concern in concerns
            },
        }
    )
    return NEEDS_ATTENTION if found else FINE
