"""Command line: `outbox-operator run`, `plan` and `doctor`; or `python -m outbox_operator`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING

from outbox_operator.doctor.command import run_doctor
from outbox_operator.errors import OperatorError
from outbox_operator.logs import configure_logging
from outbox_operator.main import run
from outbox_operator.metrics import operator_version
from outbox_operator.preview.command import add_options, run_plan
from outbox_operator.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; errors that people can act on are one line and exit code 1."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.execute(options)
    except OperatorError as error:
        sys.stderr.write(f"outbox-operator: {error}\n")
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="outbox-operator",
        description="Run the workers of Publishers and Subscriptions. Settings come from OUTBOX_OPERATOR_* variables.",
    )
    parser.add_argument("--version", action="version", version=operator_version())
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the operator until SIGTERM").set_defaults(execute=_run)
    plan = commands.add_parser("plan", help="print what would be applied, and which workers would be replaced")
    add_options(plan)
    plan.set_defaults(execute=_plan)
    doctor = commands.add_parser("doctor", help="tell whether the operator can do its work in this cluster")
    doctor.add_argument("--json", action="store_true", help="print JSON instead of a table")
    doctor.set_defaults(execute=_doctor)
    return parser


def _run(_: argparse.Namespace) -> int:
    settings = load_settings(os.environ)
    configure_logging(settings.log_level, settings.log_format)
    return asyncio.run(run(settings))


def _plan(options: argparse.Namespace) -> int:
    return asyncio.run(run_plan(options))


def _doctor(options: argparse.Namespace) -> int:
    return asyncio.run(run_doctor(load_settings(os.environ), json_output=options.json))


if __name__ == "__main__":
    sys.exit(main())
