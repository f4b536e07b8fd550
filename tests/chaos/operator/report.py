"""What a run prints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter


@dataclass
class Report:
    """The account of one run; times in seconds."""

    seed: int
    seconds: float
    resources: int
    faults: dict[str, Counter[str]]
    missed: int
    recovery: float | None
    """From the last fault until the cluster was what the resources say; None: not within the deadline."""
    complaints: list[str]
    second_writers: list[str]
    tenures: int
    writes: Counter[str]
    restless: list[str]
    """Writes after everything had been put right."""
    restarts: dict[str, str] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the run proves what it set out to prove."""
        return self.recovery is not None and not (
            self.complaints or self.second_writers or self.restless or self.trouble
        )

    def lines(self) -> list[str]:
        """Return the account as text."""
        total = sum(counter.total() for counter in self.faults.values())
        rows: list[tuple[str, Any]] = [
            ("faults and changes", total),
            ("planned ones that found nobody there", self.missed),
            ("resources", self.resources),
            ("changes of the lead", self.tenures),
            ("writes of the operators", sum(self.writes.values())),
            ("writes by one without the Lease", len(self.second_writers)),
            ("as the resources say, after the last fault", _seconds(self.recovery)),
            ("differences from what the resources say", len(self.complaints)),
            ("writes after that", len(self.restless)),
        ]
        text = [f"the operator, SEED={self.seed}, {self.seconds:.0f} s", ""]
        text += [f"  {name:<46}{value if isinstance(value, str) else format(value, ',')}" for name, value in rows]
        text += ["", "  by target and kind"]
        text += [
            f"    {target:<22}" + ", ".join(f"{kind} {count}" for kind, count in sorted(counter.items()))
            for target, counter in sorted(self.faults.items())
        ]
        text += ["", "  processes", *(f"    {name:<22}{words}" for name, words in self.restarts.items())]
        evidence = {
            "not as it should be": self.complaints,
            "written without the Lease": self.second_writers,
            "written although nothing was to be done": self.restless,
            "the rig failed": self.trouble,
        }
        for title, lines in evidence.items():
            text += [f"  {title}: {line}" for line in lines[:20]]
        return text

    def as_json(self) -> str:
        """Return the figures for machines."""
        found = {name: getattr(self, name) for name in self.__dataclass_fields__} | {"good": self.good}
        return json.dumps(found, indent=2)


def _seconds(value: float | None) -> str:
    return "not within the deadline" if value is None else f"{value:.1f} s"
