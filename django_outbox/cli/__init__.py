"""The subcommands of ``manage.py outbox``, a module each; ``management/commands/outbox.py`` wires them.

A module has ``HELP``, ``add_arguments(parser)`` and ``run(options, out)``, which returns the exit code.
"""

from __future__ import annotations

# Exit codes, documented in docs/commands.md. 1 is Django's own for a command that was used wrongly.
FINE = 0
WRONG_USAGE = 1
NEEDS_ATTENTION = 2
UNREACHABLE = 3
