"""Who wrote when, from the API server's audit log: only the holder of the Lease may."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class Write:
    """One write that took effect. ``received`` and ``done`` are the API server's own times, as text that sorts."""

    user: str
    verb: str
    resource: str
    name: str
    received: str
    done: str


def writes(lines: Iterable[str]) -> list[Write]:
    """Return the writes that took effect, in the order in which they were received."""
    found = [_write(json.loads(line)) for line in lines if line.rstrip().endswith("}")]
    return sorted((write for write in found if write is not None), key=lambda write: write.received)


def _write(event: dict[str, Any]) -> Write | None:
    if event["stage"] != "ResponseComplete" or event["responseStatus"].get("code", 500) >= 300:
        return None
    if "dryRun=" in event["requestURI"]:
        return None
    reference = event["objectRef"]
    resource = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
    return Write(
        user=event["user"]["username"],
        verb=event["verb"],
        resource=resource,
        name=reference.get("name", ""),
        received=event["requestReceivedTimestamp"],
        done=event["stageTimestamp"],
    )


def second_writers(found: Sequence[Write]) -> list[Write]:
    """Return the writes that were received while somebody else held the Lease.

    A Lease belongs to whoever wrote it last. What lies between the Lease writes of two replicas is nobody's tenure for
    certain: the API server may have been killed after it had stored a Lease and before it had noted that.
    """
    leases = sorted((write for write in found if write.resource == "leases"), key=lambda write: write.done)
    others = [write for write in found if write.resource != "leases"]
    wrong, index = [], 0
    for write in others:
        while index < len(leases) and leases[index].done < write.received:
            index += 1
        before = leases[index - 1].user if index else None
        after = leases[index].user if index < len(leases) else before
        if before is not None and before == after != write.user:
            wrong.append(write)
    return wrong


def tenures(found: Sequence[Write]) -> int:
    """Return how often the lead went from one replica to another, the first time included."""
    holders = [write.user for write in sorted(found, key=lambda write: write.done) if write.resource == "leases"]
    return sum(1 for before, after in zip([None, *holders], holders, strict=False) if before != after)


def counts(found: Sequence[Write]) -> Counter[str]:
    """Return how many writes there were, by verb and resource."""
    return Counter(f"{write.verb} {write.resource}" for write in found)
