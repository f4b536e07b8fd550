"""What the doctor found, as a table for people or JSON for machines."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Verdict = Literal["ok", "info", "warning", "failure"]

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    verdict: Verdict
    detail: str
    advice: str = ""
    """What to do; empty when nothing need be done."""


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 1 when something keeps the operator from its work, else 0; warnings do not count."""
    return EXIT_FAILED if any(finding.verdict == "failure" for finding in findings) else EXIT_OK


def as_json(version: str, findings: Sequence[Finding]) -> str:
    """Return the findings as a JSON object."""
    ok = exit_code(findings) == EXIT_OK
    return json.dumps({"version": version, "ok": ok, "findings": [asdict(finding) for finding in findings]}, indent=2)


def as_table(findings: Sequence[Finding]) -> str:
    """Return the findings as lines: verdict, check, detail, and below it what to do."""
    width = max(len(finding.check) for finding in findings)
    lines: list[str] = []
    for finding in findings:
        verdict = finding.verdict.upper() if finding.verdict == "failure" else finding.verdict
        lines.append(f"{verdict:<8} {finding.check:<{width}}  {finding.detail}")
        if finding.advice:
            lines.append(f"{'':<8} {'':<{width}}  -> {finding.advice}")
    failures = sum(finding.verdict == "failure" for finding in findings)
    warnings = sum(finding.verdict == "warning" for finding in findings)
    lines.append(f"{_number(failures, 'failure')}, {_number(warnings, 'warning')}")
    return "\n".join(lines)


def _number(count: int, word: str) -> str:
    return f"{count or 'no'} {word}{'' if count == 1 else 's'}"
