"""The management commands, as they explain themselves."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import django
from django.core.management import load_command_class

from tools.reference.markdown import code, table

if TYPE_CHECKING:
    import argparse

    from django.core.management.base import BaseCommand

NAMES = ("publish", "subscribe")
# Options that every command of Django has.
COMMON = frozenset({"help", "version", "verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color"})
EXIT_CODES = (
    ("0", "asked to stop, and everything in flight was finished"),
    ("1", "cannot work as configured; the last line on stderr says what is wrong and what to do"),
    ("2", "asked to stop, but work was still in flight when the time was over; it is done again"),
)


def section() -> str:
    """Return the section on commands."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django_project.settings")
    django.setup()
    parts = ["\n## Commands\n"]
    for name in NAMES:
        command: BaseCommand = load_command_class("django_outbox", name)
        parts.append(f"\n### {name}\n\n{command.help}\n\n{_arguments(command.create_parser('manage.py', name))}")
    parts.append("\n### Exit codes\n\n" + table(("Code", "Meaning"), EXIT_CODES))
    return "".join(parts)


def _arguments(parser: argparse.ArgumentParser) -> str:
    own = [action for action in parser._actions if action.dest not in COMMON and action.dest != "skip_checks"]
    rows = [(code(", ".join(action.option_strings) or action.dest), str(action.help or "")) for action in own]
    return table(("Argument", "Meaning"), rows)
