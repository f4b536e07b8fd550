"""``outbox await-migrations``: wait until somebody has applied the migrations of this image."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseTrouble

from django_outbox import connections
from django_outbox.cli import FINE, NEEDS_ATTENTION, UNREACHABLE, termination
from django_outbox.cli.arguments import add_database, add_json, database_from, positive_number
from django_outbox.doctor.migrations import in_words, pending

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output

HELP = "wait until the migrations of this image are applied, and say which are not"

LOOK_SECONDS = 2.0
SAY_SECONDS = 30.0


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "--timeout", type=positive_number, default=300, metavar="SECONDS", help="give up after so long (default: 300)"
    )
    add_database(parser)
    termination.add_argument(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Exit code 0 once all are applied; at the deadline 2 with some missing, 3 with a database that does not answer."""
    using, timeout = database_from(options), options["timeout"]
    deadline = time.monotonic() + timeout
    with termination.ends_on_sigterm():
        missing, trouble = _wait(using, deadline, out)
    out.document({"ok": not (missing or trouble), "pending": missing, "problem": trouble})
    if trouble is None and not missing:
        out.line("All migrations are applied.")
        return FINE
    line = _state(missing, trouble)
    out.warn(f"{line} Gave up after {timeout} s.")
    termination.write(options["termination_log"], [line])
    return UNREACHABLE if trouble else NEEDS_ATTENTION


def _wait(using: str, deadline: float, out: Output) -> tuple[list[str], str | None]:
    """Look until nothing is missing or the time is over; return what is missing, and why that is not known."""
    said, say_again = "", 0.0
    while True:
        missing, trouble = _look(using)
        now = time.monotonic()
        if (trouble is None and not missing) or now >= deadline:
            return missing, trouble
        state = _state(missing, trouble)
        if state != said or now >= say_again:
            out.line(state)
            said, say_again = state, now + SAY_SECONDS
        time.sleep(min(LOOK_SECONDS, deadline - now))


def _look(using: str) -> tuple[list[str], str | None]:
    try:
        return pending(using), None
    except DatabaseTrouble as error:
        return [], " ".join(str(error).split()) or type(error).__name__
    finally:
        # Whoever migrates must not have to wait for a connection that only looks.
        connections.close_all()


def _state(missing: list[str], trouble: str | None) -> str:
    if trouble is not None:
        return f"The database does not tell which migrations are applied: {trouble.rstrip('.')}."
    return f"Not applied: {in_words(missing)}."
