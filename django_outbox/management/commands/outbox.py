"""``manage.py outbox SUBCOMMAND``: look after the outbox, the inbox and the dead letters.

Only wiring; each subcommand is a module of ``django_outbox.cli``. Exit codes: 0 all is well, 1 used or configured
wrongly, 2 something was found that needs attention, 3 the database or the broker did not answer.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseTrouble

from django_outbox.cli import (
    UNREACHABLE,
    WRONG_USAGE,
    audit,
    await_migrations,
    check,
    dlq,
    doctor,
    preflight,
    purge,
    retry,
    status,
)
from django_outbox.cli.arguments import OneLineParser, refuse
from django_outbox.cli.output import Output
from django_outbox.exceptions import BrokerError, BrokerRefused, OutboxError, SubscriptionRefused

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

SUBCOMMANDS = {
    "status": status,
    "audit": audit,
    "retry": retry,
    "dlq": dlq,
    "purge": purge,
    "doctor": doctor,
    "check": check,
    "preflight": preflight,
    "await-migrations": await_migrations,
}


class Command(BaseCommand):
    """Choose the subcommand and give it its output; errors become one line and an exit code."""

    help = "Look after the outbox, the inbox and the dead letters."
    # The subcommands ask what they need themselves, and some are for projects that are not right yet.
    requires_system_checks: Any = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Make the parser say in one line what is wrong."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.error = partial(refuse, parser)  # type: ignore[method-assign]
        return parser

    def add_arguments(self, parser: CommandParser) -> None:
        """Describe the command line of each subcommand."""
        chosen = parser.add_subparsers(
            title="subcommands", dest="subcommand", metavar="SUBCOMMAND", required=True, parser_class=OneLineParser
        )
        for name, module in SUBCOMMANDS.items():
            described = f"{module.HELP[:1].upper()}{module.HELP[1:]}."
            module.add_arguments(chosen.add_parser(name, help=module.HELP, description=described, allow_abbrev=False))

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the subcommand; the exit code says what it found."""
        out = Output(self.stdout, self.stderr, as_json=bool(options.get("json")))
        try:
            code = SUBCOMMANDS[options["subcommand"]].run(options, out)
        except DatabaseTrouble as error:
            words = " ".join(str(error).split())
            raise CommandError(
                f"The database did not do it: {words}. Check that it runs and is migrated: manage.py migrate.",
                returncode=UNREACHABLE,
            ) from error
        except (OutboxError, ImproperlyConfigured) as error:
            unreachable = isinstance(error, BrokerError) and not isinstance(error, BrokerRefused | SubscriptionRefused)
            raise CommandError(
                " ".join(str(error).split()), returncode=UNREACHABLE if unreachable else WRONG_USAGE
            ) from error
        if code:
            sys.exit(code)
