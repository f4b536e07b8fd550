"""``outbox preflight``: may a worker of this image replace the one that runs? Asked in an init container of its pod."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django_outbox.cli import FINE, WRONG_USAGE, termination
from django_outbox.cli.arguments import add_database, add_json, database_from
from django_outbox.cli.findings import as_documents, print_finding, stomp_is_quiet
from django_outbox.doctor import Level, preflight

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from django_outbox.cli.output import Output
    from django_outbox.doctor import Finding

HELP = "say what would keep a worker of this image from its work, before it replaces another"


def add_arguments(parser: ArgumentParser) -> None:
    """Describe the command line."""
    parser.add_argument("--callback", metavar="CALLBACK", help="dotted path that `subscribe` gets; none: a publisher")
    parser.add_argument("--destination", metavar="DESTINATION", help="destination that `subscribe` gets")
    parser.add_argument("--queue", metavar="QUEUE", help="queue that `subscribe` gets")
    names = tuple(preflight.CHECKS)
    parser.add_argument(
        "--check", action="append", choices=names, help="make this check only; may be given often (default: all)"
    )
    parser.add_argument(
        "--tolerate", action="append", choices=names, default=[], help="tell what this check finds without failing"
    )
    add_database(parser)
    termination.add_argument(parser)
    add_json(parser)


def run(options: dict[str, Any], out: Output) -> int:
    """Exit code 0 when nothing is in the way, else 1. A database or broker that is away is only a warning."""
    worker = preflight.Worker(database_from(options), options["callback"], options["destination"], options["queue"])
    wanted = frozenset(options["check"] or preflight.CHECKS)
    findings: list[Finding] = []
    with termination.ends_on_sigterm(), stomp_is_quiet():
        for finding in preflight.examine(worker, wanted):
            findings.append(finding)
            print_finding(finding, out)
    bad = [finding for finding in findings if finding.level is Level.FAIL]
    failed = [finding for finding in bad if finding.name not in options["tolerate"]]
    termination.write(options["termination_log"], [_line(finding) for finding in failed or bad])
    out.document({"ok": not failed, "checks": as_documents(findings)})
    return WRONG_USAGE if failed else FINE


def _line(finding: Finding) -> str:
    return f"{finding.name}: {finding.message} {finding.advice}".strip()
