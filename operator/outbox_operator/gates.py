"""What the init containers before a worker say, read from the status of its pod. Pure; `diagnosis` asks."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from outbox_operator.api.conditions import MIGRATIONS_PENDING, PREFLIGHT_FAILED, Problem
from outbox_operator.build.names import AWAIT_MIGRATIONS, PREFLIGHT
from outbox_operator.wording import last_words, sentence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Resource

_GRACE_SECONDS: Final = 20.0
"""Where nobody has said that migrations are missing, looking for them is given this long: Django has to start."""
_CHECK: Final = re.compile(r"^(settings|callback|migrations|broker|queue): ")
_MIGRATIONS: Final = "migrations: "


def gate_problem(
    resource: Resource, pod: Mapping[str, Any], container: Mapping[str, Any], now: datetime
) -> Problem | None:
    """Return why a gate keeps a worker from starting, or None when it does not, or is no gate of ours."""
    if container.get("ready"):
        return None
    if container["name"] == PREFLIGHT:
        return _preflight(resource, pod, container)
    if container["name"] == AWAIT_MIGRATIONS:
        return _migrations(resource, pod, container, now)
    return None


def _preflight(resource: Resource, pod: Mapping[str, Any], container: Mapping[str, Any]) -> Problem | None:
    ended = _ended(container)
    if ended is None or ended.get("exitCode") == 0 or ended.get("reason") == "OOMKilled":
        return None
    lines = _findings(ended.get("message") or "")
    if lines and all(line.startswith(_MIGRATIONS) for line in lines):
        return _pending(resource, pod, " ".join(lines).removeprefix(_MIGRATIONS))
    said = " ".join(lines) or last_words(ended.get("message") or "") or f"exit code {ended.get('exitCode')}"
    return Problem(
        PREFLIGHT_FAILED,
        f"The preflight of the workers failed: {sentence(said)} {_see_log(resource, pod, PREFLIGHT)}",
    )


def _migrations(
    resource: Resource, pod: Mapping[str, Any], container: Mapping[str, Any], now: datetime
) -> Problem | None:
    ended = _ended(container)
    said = (ended or {}).get("message") or _told_by_preflight(pod)
    if said:
        return _pending(resource, pod, last_words(said))
    since = container.get("state", {}).get("running", {}).get("startedAt")
    if since is None or (now - datetime.fromisoformat(since)).total_seconds() < _GRACE_SECONDS:
        return None
    return _pending(resource, pod, "Which ones is in the log.")


def _told_by_preflight(pod: Mapping[str, Any]) -> str:
    """Return what the preflight, which tolerates missing migrations, has noted about them."""
    statuses = pod.get("status", {}).get("initContainerStatuses", ())
    messages = [(_ended(item) or {}).get("message") or "" for item in statuses if item["name"] == PREFLIGHT]
    noted = [line for message in messages for line in _findings(message)]
    return " ".join(line.removeprefix(_MIGRATIONS) for line in noted if line.startswith(_MIGRATIONS))


def _pending(resource: Resource, pod: Mapping[str, Any], said: str) -> Problem:
    waits = resource.worker.migrations.policy == "Wait"
    name = AWAIT_MIGRATIONS if waits else PREFLIGHT
    advice = "Run `manage.py migrate` with this image; new workers start by themselves afterwards."
    said = sentence(said.removesuffix("Run manage.py migrate.").strip())
    return Problem(
        MIGRATIONS_PENDING,
        f"New workers wait for the migrations of their image. {said} {advice} {_see_log(resource, pod, name)}",
    )


def _ended(container: Mapping[str, Any]) -> Mapping[str, Any] | None:
    ended: Mapping[str, Any] | None = container.get("state", {}).get("terminated") or container.get(
        "lastState", {}
    ).get("terminated")
    return ended


def _findings(message: str) -> list[str]:
    """Return the lines of a termination message that name a check; none when it is the end of a log."""
    lines = [line for line in message.splitlines() if line.strip()]
    return lines if all(_CHECK.match(line) for line in lines) else []


def _see_log(resource: Resource, pod: Mapping[str, Any], container: str) -> str:
    return f"See `kubectl -n {resource.key.namespace} logs {pod['metadata']['name']} -c {container}`."
