"""Values of the ``outbox`` command line, and the parser that says in one line what is wrong with them."""

from __future__ import annotations

import re
import sys
import uuid
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from django_outbox import upkeep
from django_outbox.cli import WRONG_USAGE

if TYPE_CHECKING:
    from argparse import ArgumentParser

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+)([smhdw])")


class OneLineParser(CommandParser):
    """Answers wrong usage with one line instead of the list of all options."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 1 on the command line; raise ``CommandError`` in a program."""
        refuse(self, message)


def refuse(parser: CommandParser, message: str) -> NoReturn:
    """Say what is wrong with the arguments and where to read on."""
    line = f"{message[:1].upper()}{message[1:].rstrip('.')}. See: {parser.prog} --help"
    if not parser.called_from_command_line:
        raise CommandError(line, returncode=WRONG_USAGE)
    sys.stderr.write(f"{line}\n")
    raise SystemExit(WRONG_USAGE)


def duration(text: str) -> float:
    """Return the seconds that ``90s``, ``15m``, ``2h``, ``30d`` or ``1w`` are."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no duration: write it like 90s, 15m, 2h, 30d or 1w")
    return float(match[1]) * _UNITS[match[2]]


def row_id(text: str) -> uuid.UUID:
    """Return the id of a row."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no id of a row: an id looks like {uuid.UUID(int=0)}") from None


def positive_number(text: str) -> int:
    """Return a whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a whole number") from None
    if number < 1:
        raise ArgumentTypeError(f"{text} is not above 0")
    return number


def add_database(parser: ArgumentParser) -> None:
    """Add ``--database``."""
    parser.add_argument(
        "--database", metavar="ALIAS", help="database of the tables (default: where Django writes them)"
    )


def add_json(parser: ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")


def add_dry_run(parser: ArgumentParser) -> None:
    """Add ``--dry-run``."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be done and change nothing")


def database_from(options: dict[str, Any]) -> str:
    """Return the alias that ``--database`` names, by default that of the outbox. Raises ``CommandError``."""
    alias: str | None = options.get("database")
    if alias is None:
        return upkeep.database_of_outbox()
    if alias not in connections:
        known = ", ".join(sorted(connections))
        raise CommandError(f"There is no database {alias!r} in DATABASES. Give one of these with --database: {known}.")
    return alias
