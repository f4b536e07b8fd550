"""The rights that the operator uses, and what for. The chart grants exactly these; a test compares them.

`served` rights hold where the resources live: in the whole cluster, or in each watched namespace. `own` rights hold in
the operator's own namespace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from outbox_operator.api.resource import GROUP, KINDS

Scope = Literal["served", "own"]


@dataclass(frozen=True)
class Right:
    """Verbs on one resource type."""

    group: str
    resource: str
    """Plural, with the subresource after a slash."""
    verbs: tuple[str, ...]
    purpose: str
    """What the operator cannot do without it."""
    scope: Scope = "served"
    named: bool = False
    """Whether the verbs are needed for the operator's own Lease only."""
    optional_api: bool = False
    """Whether the API group may be absent from the cluster; then the right is not needed."""


_PLURALS: Final = tuple(kind.plural for kind in KINDS)

RIGHTS: Final = (
    *(Right(GROUP, plural, ("get", "list", "watch"), "see the resources") for plural in _PLURALS),
    *(Right(GROUP, f"{plural}/status", ("patch",), "report what is going on") for plural in _PLURALS),
    *(
        Right(GROUP, f"{plural}/finalizers", ("update",), "own children where the cluster enforces that")
        for plural in _PLURALS
    ),
    Right("apps", "deployments", ("get", "list", "watch", "create", "patch"), "run the workers"),
    Right(
        "policy",
        "poddisruptionbudgets",
        ("get", "list", "create", "patch", "delete"),
        "keep a PodDisruptionBudget beside each Deployment",
    ),
    *(
        Right("keda.sh", plural, ("get", "create", "patch", "delete"), "have KEDA scale the workers", optional_api=True)
        for plural in ("scaledobjects", "triggerauthentications")
    ),
    Right("", "pods", ("list",), "tell why a worker does not start"),
    Right("", "secrets", ("get",), "see that Secrets exist and when they change"),
    Right("", "configmaps", ("get",), "see that ConfigMaps exist and when they change"),
    Right("", "events", ("create",), "explain what it does"),
)
LEASE_RIGHTS: Final = (
    Right("coordination.k8s.io", "leases", ("get", "update"), "be one of several replicas", "own", named=True),
    Right("coordination.k8s.io", "leases", ("create",), "be one of several replicas", "own"),
)
"""Needed while leader election is on."""
