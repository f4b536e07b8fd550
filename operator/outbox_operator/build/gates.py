"""The init containers that stand before a worker: they run the worker's own image with the worker's environment.

`preflight` fails while something is wrong that waiting does not mend, `await-migrations` waits. While one of them has
not ended well, the pod is not ready, so a rolling update keeps the old workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from outbox_operator.api.worker import PREFLIGHT_CHECKS
from outbox_operator.build.copies import copied
from outbox_operator.build.merge import merge_named
from outbox_operator.build.names import AWAIT_MIGRATIONS, PREFLIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource

TERMINATION_LOG: Final = "/dev/termination-log"
_NOTED: Final = "Migrations"
_OF_WORKER: Final = (
    "image",
    "imagePullPolicy",
    "env",
    "envFrom",
    "resources",
    "securityContext",
    "volumeMounts",
    "workingDir",
)


def with_gates(resource: Resource, spec: Mapping[str, Any], worker: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pod's spec with the init containers that the resource wants, after those of its template.

    Those of the template come first, since they may bring what ours need: a proxy to the database, a certificate. One
    of them with the name of ours is merged over it.
    """
    gates = _gates(resource, worker)
    if not gates:
        return dict(spec)
    names = {gate["name"] for gate in gates}
    given = spec.get("initContainers", [])
    others = [item for item in given if item["name"] not in names]
    merged = merge_named(gates, [item for item in given if item["name"] in names], "name")
    return {**spec, "initContainers": [*others, *merged]}


def _gates(resource: Resource, worker: Mapping[str, Any]) -> list[dict[str, Any]]:
    spec, found = resource.worker, []
    waits = spec.migrations.policy == "Wait"
    database = ["--database", resource.database] if resource.database else []
    if spec.preflight.policy == "Enabled":
        # Whoever waits for migrations is told which are missing, though that is no reason to fail.
        chosen = tuple(name for name in PREFLIGHT_CHECKS if name in spec.preflight.checks or (waits and name == _NOTED))
        checks = [] if chosen == PREFLIGHT_CHECKS else [part for name in chosen for part in ("--check", name.lower())]
        tolerated = ["--tolerate", "migrations"] if waits else []
        arguments = [*resource.preflight_arguments, *database, *checks, *tolerated]
        found.append(_gate(PREFLIGHT, resource, worker, ["preflight", *arguments]))
    if waits:
        timeout = ["--timeout", str(spec.migrations.timeout_seconds)]
        found.append(_gate(AWAIT_MIGRATIONS, resource, worker, ["await-migrations", *timeout, *database]))
    return found


def _gate(name: str, resource: Resource, worker: Mapping[str, Any], arguments: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        **{field: copied(worker[field]) for field in _OF_WORKER if field in worker},
        "command": list(resource.worker.command),
        "args": ["outbox", *arguments, "--termination-log", TERMINATION_LOG],
        # Should Django itself not start, the end of the log says why.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
