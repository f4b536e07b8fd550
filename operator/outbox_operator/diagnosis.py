"""Why a worker's pod is not ready, read from its status. Pure; `status` asks while a Deployment is not available.

The finding depends on structured fields (waiting reasons, exit codes, condition reasons); texts of the kubelet and of
the worker only fill the message.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from outbox_operator.api.conditions import (
    CALLBACK_NOT_IMPORTABLE,
    CONTAINER_CANNOT_START,
    CRASH_LOOPING,
    IMAGE_PULL_FAILED,
    PREVIOUS_WORKER_STOPPING,
    UNSCHEDULABLE,
    WORKERS_NOT_READY,
    Problem,
)
from outbox_operator.gates import gate_problem
from outbox_operator.wording import last_words, sentence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from outbox_operator.api.resource import Resource

_IMAGE_REASONS: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CANNOT_START_REASONS: Final = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "PostStartHookError",
    }
)
_CONTAINER_STARTING: Final = frozenset({"ContainerCreating", "PodInitializing", ""})
_READY_GRACE_SECONDS: Final = 30.0
"""A worker that has just started is given this long to connect before it counts as not ready."""
_EXIT_CODES: Final[Mapping[int, str]] = {
    0: "ended although nobody asked it to",
    1: "ended with exit code 1",
    2: "gave up (exit code 2): work in flight did not finish within the drain limit",
    126: "could not run its command (exit code 126)",
    127: "could not find its command (exit code 127)",
    137: "was killed (exit code 137)",
    139: "crashed (exit code 139, segmentation fault)",
    143: "was terminated (exit code 143)",
}


class Finding(NamedTuple):
    """What is wrong with one pod. The lowest rank explains most."""

    rank: int
    problem: Problem


def diagnose(resource: Resource, pods: Iterable[Mapping[str, Any]], now: datetime) -> Problem | None:
    """Return what keeps the workers from becoming ready, or None when nothing is known (yet).

    Looks at the newest pods first: while a roll is stuck, they are the ones to explain it.
    """
    pods = list(pods)
    present = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
    stopping = [pod for pod in pods if pod["metadata"].get("deletionTimestamp")]
    if resource.ordered and stopping:
        return _waits_for(resource, stopping[0])
    newest_first = sorted(present, key=lambda pod: str(pod["metadata"].get("creationTimestamp")), reverse=True)
    found = [finding for pod in newest_first for finding in _findings(resource, pod, now)]
    return min(found, key=lambda finding: finding.rank).problem if found else None


def _findings(resource: Resource, pod: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    status = pod.get("status", {})
    for container in status.get("initContainerStatuses", ()):
        problem = gate_problem(resource, pod, container, now)
        finding = Finding(2, problem) if problem else _of_container(resource, pod, container)
        if finding is not None:
            yield finding
    for container in status.get("containerStatuses", ()):
        finding = _of_container(resource, pod, container) or _of_running(pod, container, now)
        if finding is not None:
            yield finding
    for condition in status.get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Finding(3, _unschedulable(pod, condition))


def _of_container(resource: Resource, pod: Mapping[str, Any], container: Mapping[str, Any]) -> Finding | None:
    state = container.get("state", {})
    waiting = state.get("waiting", {})
    reason = waiting.get("reason", "")
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
    if reason in _IMAGE_REASONS:
        return Finding(0, _image_pull(pod, container, waiting))
    if reason in _CANNOT_START_REASONS:
        return Finding(1, _cannot_start(pod, container, waiting))
    if ended and not container.get("ready") and _counts_as_crash(container, ended):
        return Finding(2, _crash(resource, pod, container, ended))
    if reason and reason not in _CONTAINER_STARTING:
        return Finding(4, _cannot_start(pod, container, waiting))
    return None


def _of_running(pod: Mapping[str, Any], container: Mapping[str, Any], now: datetime) -> Finding | None:
    running = container.get("state", {}).get("running")
    if running is None or not container.get("started") or container.get("ready"):
        return None
    since = running.get("startedAt")
    if since and (now - datetime.fromisoformat(since)).total_seconds() < _READY_GRACE_SECONDS:
        return None
    return Finding(5, _not_ready(pod))


def _counts_as_crash(container: Mapping[str, Any], ended: Mapping[str, Any]) -> bool:
    # An init container that has finished well is done, not crashed. A worker must never finish by itself.
    finished_well = ended.get("exitCode") == 0 and ended.get("reason") == "Completed"
    return not finished_well or bool(container.get("restartCount"))


def _image_pull(pod: Mapping[str, Any], container: Mapping[str, Any], waiting: Mapping[str, Any]) -> Problem:
    said = sentence(waiting.get("message") or waiting["reason"])
    return Problem(
        IMAGE_PULL_FAILED,
        f"Image {_image(pod, container)} cannot be pulled: {said} Check the name and tag, that the registry is "
        "reachable from the nodes, and imagePullSecrets.",
    )


def _cannot_start(pod: Mapping[str, Any], container: Mapping[str, Any], waiting: Mapping[str, Any]) -> Problem:
    said = sentence(waiting.get("message") or waiting["reason"])
    return Problem(
        CONTAINER_CANNOT_START,
        f"The node cannot start container {container['name']} of pod {_pod(pod)}: {said} Check command, env, "
        "template and the image's user.",
    )


def _crash(
    resource: Resource, pod: Mapping[str, Any], container: Mapping[str, Any], ended: Mapping[str, Any]
) -> Problem:
    said = last_words(ended.get("message") or "")
    if ended.get("reason") == "OOMKilled":
        how = "was killed because it used more memory than resources.limits.memory allows"
    else:
        code = int(ended.get("exitCode", -1))
        how = _EXIT_CODES.get(code, f"ended with exit code {code}")
    times = int(container.get("restartCount", 0))
    again = f", {times} {'restart' if times == 1 else 'restarts'} so far" if times else ""
    text = f"Container {container['name']} {how}{again}"
    advice = f"See `kubectl -n {resource.key.namespace} logs {_pod(pod)} -c {container['name']} --previous`."
    if resource.callback and _names_failed_import(said, resource.callback):
        fix = "Correct spec.callback, or use an image that has it."
        return Problem(
            CALLBACK_NOT_IMPORTABLE, f"Callback {resource.callback} cannot be imported: {sentence(said)} {fix}"
        )
    return Problem(CRASH_LOOPING, f"{text}: {sentence(said)} {advice}" if said else f"{text}. {advice}")


def _names_failed_import(said: str, callback: str) -> bool:
    """Tell whether the worker's last words speak of importing this very callback."""
    return callback in said and re.search(r"\bimport", said, re.IGNORECASE) is not None


def _unschedulable(pod: Mapping[str, Any], condition: Mapping[str, Any]) -> Problem:
    said = sentence(condition.get("message") or "no node fits")
    return Problem(
        UNSCHEDULABLE,
        f"Pod {_pod(pod)} finds no node: {said} Lower resources.requests, add nodes, or change template (node "
        "selector, tolerations).",
    )


def _waits_for(resource: Resource, stopping: Mapping[str, Any]) -> Problem:
    return Problem(
        PREVIOUS_WORKER_STOPPING,
        f"The worker waits until pod {_pod(stopping)}, which is being stopped, is gone: ordering Ordered never runs "
        f"two. If its node {stopping.get('spec', {}).get('nodeName', '')} is lost for good, delete the Node or run "
        f"`kubectl -n {resource.key.namespace} delete pod {_pod(stopping)} --force`.",
    )


def _not_ready(pod: Mapping[str, Any]) -> Problem:
    namespace = pod["metadata"].get("namespace", "default")
    return Problem(
        WORKERS_NOT_READY,
        f"Pod {_pod(pod)} runs, but /readyz says that it cannot do its work; mostly the broker or the database cannot "
        f"be reached. See `kubectl -n {namespace} logs {_pod(pod)}`.",
    )


def _image(pod: Mapping[str, Any], container: Mapping[str, Any]) -> str:
    spec = pod.get("spec", {})
    for item in (*spec.get("containers", ()), *spec.get("initContainers", ())):
        if item["name"] == container["name"]:
            return str(item.get("image"))
    return str(container.get("image"))


def _pod(pod: Mapping[str, Any]) -> str:
    return str(pod["metadata"]["name"])
