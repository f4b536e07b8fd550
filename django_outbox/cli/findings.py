"""How findings are printed, by ``outbox doctor`` and ``outbox preflight``."""

from __future__ import annotations

import contextlib
import logging
import textwrap
from typing import TYPE_CHECKING, Any

from django_outbox.cli.output import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django_outbox.cli.output import Output
    from django_outbox.doctor import Finding

_INDENT = 6


def print_finding(finding: Finding, out: Output) -> None:
    """Print a finding and, below it, what to do."""
    first = f"{finding.level:<{_INDENT}}{finding.name}: {finding.message}"
    lines = textwrap.wrap(first, WIDTH, subsequent_indent=" " * _INDENT, break_on_hyphens=False)
    if finding.advice:
        indent = " " * _INDENT
        lines += textwrap.wrap(f"To do: {finding.advice}", WIDTH, initial_indent=indent, subsequent_indent=indent)
    for line in lines:
        out.line(line)


def as_documents(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as the JSON document shows them."""
    return [{"name": one.name, "level": one.level, "message": one.message, "advice": one.advice} for one in findings]


@contextlib.contextmanager
def stomp_is_quiet() -> Iterator[None]:
    """Keep stomp.py's tracebacks of connections that the broker closed out of the findings, which say why it did."""
    logger = logging.getLogger("stomp.py")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
