"""``outbox doctor``: are settings, database and broker what the workers need? Tried for real, and tidied up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox import doctor
from django_outbox.cli import FINE, WRONG_USAGE
from django_outbox.cli.arguments import add_database, add_json, database_from
from django_outbox.cli.findings import as_documents, print_finding, stomp_is_quiet
from django_outbox.doctor import Level, queues

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output

HELP = "prove settings, database and broker, and say what to do"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument(
        "--destination",
        action="append",
        default=[],
        metavar="DESTINATION",
        help="may this user publish there? may be given often; those of @publish are asked anyway",
    )
    parser.add_argument(
        "--subscription",
        action="append",
        default=[],
        nargs=2,
        metavar=("DESTINATION", "QUEUE"),
        help="compare what `subscribe` declares for these with the queues that exist; may be given often",
    )
    add_database(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Print each finding as it comes. Exit code 1 when something does not work, warnings leave it at 0."""
    using = database_from(options)
    subscriptions = [queues.unattended(destination, queue) for destination, queue in options["subscription"]]
    findings = []
    with stomp_is_quiet():
        for finding in doctor.examine(using, options["destination"], subscriptions):
            findings.append(finding)
            print_finding(finding, out)
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    out.line()
    out.line(f"{counts[Level.OK]} ok, {counts[Level.WARN]} to look at, {counts[Level.FAIL]} failed.")
    out.document({"ok": not counts[Level.FAIL], "checks": as_documents(findings)})
    return WRONG_USAGE if counts[Level.FAIL] else FINE
