"""What would happen to the objects of one resource, and how that is printed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox_operator.api.resource import Object

Action = Literal["create", "change", "remove", "keep"]
Output = Literal["text", "yaml", "json"]

NOTHING_CHANGES: Final = 0
UNKNOWN: Final = 1
OBJECTS_CHANGE: Final = 3
WORKERS_ROLL: Final = 4
HELD: Final = 5


@dataclass(frozen=True)
class Change:
    """What would become of one object."""

    kind: str
    name: str
    action: Action
    why: str = ""


@dataclass(frozen=True)
class Outlook:
    """What would become of one resource."""

    subject: str
    problem: str | None = None
    """Why the resource is refused, or nothing is rolled out for it."""
    objects: tuple[Object, ...] = ()
    """What would be applied."""
    changes: tuple[Change, ...] = ()
    roll: str | None = None
    """Why running workers would be replaced."""
    unknown: str | None = None
    """Why it cannot be found out: the right that is missing."""
    warnings: tuple[str, ...] = ()
    """What could not be looked at and counts as unchanged."""


def exit_code(outlooks: Sequence[Outlook]) -> int:
    """Return the most severe: nothing changes, objects change, workers roll, refused or held, not to be found out."""
    if any(outlook.unknown for outlook in outlooks):
        return UNKNOWN
    if any(outlook.problem for outlook in outlooks):
        return HELD
    if any(outlook.roll for outlook in outlooks):
        return WORKERS_ROLL
    changed = any(change.action != "keep" for outlook in outlooks for change in outlook.changes)
    return OBJECTS_CHANGE if changed else NOTHING_CHANGES


def as_objects(outlooks: Sequence[Outlook]) -> str:
    """Return the objects as YAML documents, problems as comments."""
    parts: list[str] = []
    for outlook in outlooks:
        head = f"# {outlook.subject}\n"
        head += "".join(f"# {words}\n" for words in (outlook.unknown, outlook.problem, *outlook.warnings) if words)
        bodies = [yaml.safe_dump(obj, sort_keys=False, width=120) for obj in outlook.objects]
        parts.append(head + "---\n".join(bodies))
    return "---\n".join(parts)


def as_json(outlooks: Sequence[Outlook]) -> str:
    """Return everything as JSON."""
    found: list[dict[str, Any]] = [asdict(outlook) for outlook in outlooks]
    return json.dumps({"exitCode": exit_code(outlooks), "resources": found}, indent=2) + "\n"


def as_text(outlooks: Sequence[Outlook]) -> str:
    """Return a line for each object, and one about the workers."""
    lines: list[str] = []
    for outlook in outlooks:
        lines.append(outlook.subject)
        if outlook.unknown:
            lines.append(f"  UNKNOWN {outlook.unknown}")
        if outlook.problem:
            lines.append(f"  HELD    {outlook.problem}")
        lines += [f"  WARNING {warning}" for warning in outlook.warnings]
        for change in outlook.changes:
            why = f": {change.why}" if change.why else ""
            lines.append(f"  {change.action:<7} {change.kind} {change.name}{why}")
        if outlook.roll:
            lines.append(f"  ROLL    running workers are replaced: {outlook.roll}")
    rolls, held = (sum(bool(value) for value in values) for values in zip(*_marks(outlooks), strict=True))
    lines.append(f"{len(outlooks)} resources, {rolls} whose workers would be replaced, {held} refused or held")
    return "\n".join(lines) + "\n"


def _marks(outlooks: Sequence[Outlook]) -> list[tuple[str | None, str | None]]:
    return [(outlook.roll, outlook.problem) for outlook in outlooks] or [(None, None)]
