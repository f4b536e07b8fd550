"""Why workers are not ready, told from statuses of pods as kubelets write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.diagnosis import diagnose
from outbox_operator.wording import last_words
from tests.unit.operator.objects import NOW, pod, subscription

if TYPE_CHECKING:
    from outbox_operator.api.conditions import Problem

TRACEBACK = """Traceback (most recent call last):
  File "/app/manage.py", line 10, in <module>
    main()
  File "/app/manage.py", line 6, in main
    execute_from_command_line(sys.argv)
ModuleNotFoundError: No module named 'shop'
"""
NOT_IMPORTABLE = (
    "CommandError: Could not import 'billing.callbacks.paid': No module named 'billing.callbacks'. Check it."
)


def terminated(code: int = 1, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def crash_loop(**ended: Any) -> dict[str, Any]:
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
    return pod(state={"waiting": waiting}, lastState=terminated(**ended), restartCount=3)


def found(*pods: dict[str, Any]) -> Problem:
    problem = diagnose(subscription(), pods, NOW)
    assert problem is not None
    return problem


@pytest.mark.parametrize(
    "reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"]
)
def test_an_image_that_cannot_be_pulled_is_named_with_the_words_of_the_kubelet(reason: str) -> None:
    problem = found(pod(state={"waiting": {"reason": reason, "message": "manifest unknown"}}))
    assert problem.reason == api.IMAGE_PULL_FAILED
    assert "registry.example.com/shop:1" in problem.message
    assert "manifest unknown." in problem.message
    assert "imagePullSecrets" in problem.message


def test_a_crash_loop_is_told_with_its_exit_code_and_the_error_of_the_worker() -> None:
    problem = found(crash_loop(message=TRACEBACK))
    assert problem.reason == api.CRASH_LOOPING
    assert "exit code 1, 3 restarts so far: ModuleNotFoundError: No module named 'shop'." in problem.message
    assert "kubectl -n shop logs billing-sub-1 -c worker --previous" in problem.message


def test_a_callback_that_cannot_be_imported_has_a_reason_of_its_own() -> None:
    problem = found(crash_loop(message=NOT_IMPORTABLE))
    assert problem.reason == api.CALLBACK_NOT_IMPORTABLE
    assert NOT_IMPORTABLE in problem.message
    assert "Correct spec.callback" in problem.message


def test_an_import_error_of_something_else_is_no_fault_of_the_callback() -> None:
    message = "CommandError: Could not import settings 'shop.settings'"
    assert found(crash_loop(message=message)).reason == api.CRASH_LOOPING


def test_a_crash_without_words_still_says_how_and_where_to_look() -> None:
    problem = found(crash_loop(code=137))
    assert "was killed (exit code 137)" in problem.message
    assert "--previous" in problem.message


def test_a_worker_killed_for_its_memory_is_told_so() -> None:
    problem = found(crash_loop(code=137, reason="OOMKilled"))
    assert problem.reason == api.CRASH_LOOPING
    assert "resources.limits.memory" in problem.message


def test_between_two_restarts_the_reason_stays() -> None:
    ended = pod(state=terminated(message=TRACEBACK), restartCount=1)
    started_again = pod(state={"running": {}}, started=False, lastState=terminated(message=TRACEBACK), restartCount=1)
    assert found(ended).reason == found(started_again).reason == api.CRASH_LOOPING


def test_a_worker_that_ends_by_itself_with_exit_code_0_is_a_crash_too() -> None:
    problem = found(crash_loop(code=0, reason="Completed"))
    assert problem.reason == api.CRASH_LOOPING
    assert "although nobody asked" in problem.message


def test_a_finished_init_container_is_no_crash() -> None:
    starting = pod(state={"waiting": {"reason": "PodInitializing"}})
    done = {"name": "wait", "ready": False, "restartCount": 0, "state": terminated(code=0, reason="Completed")}
    starting["status"]["initContainerStatuses"] = [done]
    assert diagnose(subscription(), [starting], NOW) is None


@pytest.mark.parametrize(
    "reason", ["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "Strange"]
)
def test_a_container_that_cannot_start_is_told_with_the_words_of_the_kubelet(reason: str) -> None:
    message = "container has runAsNonRoot and image will run as root"
    problem = found(pod(state={"waiting": {"reason": reason, "message": message}}))
    assert problem.reason == api.CONTAINER_CANNOT_START
    assert message in problem.message


def test_a_pod_that_finds_no_node_is_told_with_the_words_of_the_scheduler() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "Insufficient cpu"}
    problem = found({**pod(conditions=[condition]), "status": {"conditions": [condition]}})
    assert problem.reason == api.UNSCHEDULABLE
    assert "Insufficient cpu." in problem.message


@pytest.mark.parametrize(
    ("started_at", "reason"), [("2026-01-02T03:00:00Z", api.WORKERS_NOT_READY), ("2026-01-02T03:04:00Z", None)]
)
def test_a_worker_that_is_not_ready_is_given_a_moment(started_at: str, reason: str | None) -> None:
    running = pod(state={"running": {"startedAt": started_at}}, started=True)
    problem = diagnose(subscription(), [running], NOW)
    assert (problem.reason if problem else None) == reason


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing"])
def test_starting_is_no_trouble(reason: str) -> None:
    assert diagnose(subscription(), [pod(state={"waiting": {"reason": reason}})], NOW) is None


def test_a_pod_on_its_way_out_explains_nothing() -> None:
    going = crash_loop(message="old")
    going["metadata"]["deletionTimestamp"] = "2026-01-02T03:03:00Z"
    assert diagnose(subscription(), [going], NOW) is None


def test_the_newest_pod_is_asked_first() -> None:
    old, new = crash_loop(message="old"), crash_loop(message="new")
    new["metadata"]["creationTimestamp"] = "2026-01-02T03:04:00Z"
    assert "new" in found(old, new).message


def test_an_image_explains_more_than_a_crash() -> None:
    pull = pod(state={"waiting": {"reason": "ErrImagePull"}})
    assert found(crash_loop(message="x"), pull).reason == api.IMAGE_PULL_FAILED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TRACEBACK, "ModuleNotFoundError: No module named 'shop'"),
        ("", ""),
        ("one\n\ntwo\n", "one | two"),
        ("1\n2\n3\n4\n", "2 | 3 | 4"),
        (f"connecting\n{NOT_IMPORTABLE}\n", NOT_IMPORTABLE),
        ("django.core.exceptions.ImproperlyConfigured: no\n", "django.core.exceptions.ImproperlyConfigured: no"),
    ],
)
def test_the_last_words_are_the_error_without_the_way_there(text: str, words: str) -> None:
    assert last_words(text) == words


def test_very_long_last_words_are_cut() -> None:
    assert len(last_words("x" * 5000)) <= 700
