"""What the demo asks of a cluster, on top of the rig's `kubectl`; all other modules of the demo use this.

Absent objects are None and unreachable ones are "not yet": waiting belongs to the caller, who has a deadline.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.rig.waiting import RigError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.rig import Rig

SHOP = "shop"
INFRA = "shop-infra"
OPERATOR = "outbox-system"


class Cluster:
    """The cluster of a rig, with the few questions and actions that the demo and its tests need."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl; raise RigError when it fails."""
        return self.rig.kubectl(*arguments, input=stdin)

    def try_kubectl(self, *arguments: str) -> str:
        """Run kubectl to show something to a person: a failure is shown as well."""
        try:
            return self.kubectl(*arguments)
        except RigError as error:
            return f"(kubectl {' '.join(arguments)}: {error})"

    def get(self, kind: str, name: str, namespace: str = SHOP) -> dict[str, Any] | None:
        """Return an object, or None when there is none of that name."""
        found = self.kubectl("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return dict(json.loads(found)) if found.strip() else None

    def objects(self, kind: str, selector: str = "", namespace: str = SHOP) -> list[dict[str, Any]]:
        """Return the objects of a kind, or of several joined by commas, that carry the labels of a selector."""
        listed = json.loads(self.kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json"))
        return list(listed["items"])

    def apply(self, manifest: Path | str) -> None:
        """Apply a manifest: a file, or YAML text."""
        if isinstance(manifest, str):
            self.kubectl("apply", "-f", "-", stdin=manifest)
        else:
            self.kubectl("apply", "-f", str(manifest))

    def worker_pods(self, kind: str, name: str) -> list[dict[str, Any]]:
        """Return the live worker pods of a `publisher` or `subscription`: those that nobody is deleting."""
        pods = self.objects("pods", f"djangooutbox.io/{kind}={name}")
        return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]

    def condition(self, kind: str, name: str, condition: str = "Ready") -> dict[str, Any] | None:
        """Return a condition of a resource of ours if it speaks of the newest spec, else None."""
        found = self.get(f"{kind}.djangooutbox.io", name)
        if found is None:
            return None
        status = found.get("status", {})
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return None
        return next((entry for entry in status.get("conditions", []) if entry["type"] == condition), None)
