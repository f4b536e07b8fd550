"""Events: one for each transition, none for standing still or for normal starting."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.apply import Applied
from outbox_operator.events import transitions
from tests.unit.operator.objects import publisher


def status(ready: tuple[str, str], message: str = "words.", suspended: str = "False") -> dict[str, Any]:
    return {
        "conditions": [
            {"type": "Ready", "status": ready[0], "reason": ready[1], "message": message},
            {"type": "Suspended", "status": suspended, "reason": "x", "message": "x"},
        ]
    }


STARTING = status(("False", api.WORKERS_STARTING))
WELL = status(("True", api.WORKERS_AVAILABLE))
CRASHING = status(("False", api.CRASH_LOOPING))


def told(before: Any, after: Any, applied: Applied | None = None) -> list[tuple[str, str]]:
    return [(event.type, event.reason) for event in transitions(publisher(), applied or Applied({}), before, after)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, STARTING, []),
        (STARTING, WELL, [("Normal", "WorkersAvailable")]),
        (WELL, WELL, []),
        (CRASHING, CRASHING, []),
        (WELL, CRASHING, [("Warning", "CrashLooping")]),
        (None, CRASHING, [("Warning", "CrashLooping")]),
        (WELL, status(("False", "Suspended"), suspended="True"), [("Normal", "Suspended")]),
        (status(("False", "Suspended"), suspended="True"), STARTING, [("Normal", "Resumed")]),
    ],
)
def test_only_transitions_are_told(before: Any, after: Any, expected: list[tuple[str, str]]) -> None:
    assert told(before, after) == expected


def at(ready: tuple[str, str, str], progressing: tuple[str, str]) -> dict[str, Any]:
    """Ready and Progressing, each with the second since when it is so."""
    return {
        "conditions": [
            {
                "type": "Ready",
                "status": ready[0],
                "reason": ready[1],
                "message": "words.",
                "lastTransitionTime": ready[2],
            },
            {"type": "Progressing", "status": progressing[0], "reason": "x", "lastTransitionTime": progressing[1]},
        ]
    }


YES, NO = ("True", api.WORKERS_AVAILABLE), ("False", api.CRASH_LOOPING)


@pytest.mark.parametrize(
    ("story", "expected"),
    [
        ([at((*YES, "1"), ("False", "1")), at((*YES, "1"), ("True", "5")), at((*YES, "1"), ("False", "9"))], 0),
        ([at((*NO, "1"), ("True", "1")), at((*YES, "5"), ("True", "1")), at((*YES, "5"), ("False", "9"))], 1),
        ([at((*NO, "1"), ("True", "1")), at((*YES, "5"), ("False", "5")), at((*YES, "5"), ("False", "5"))], 1),
    ],
    ids=["never ceased to be available", "available before the roll is done", "available as the roll is done"],
)
def test_available_workers_are_told_once_a_roll_is_done_and_only_if_they_were_not_before(
    story: list[dict[str, Any]], expected: int
) -> None:
    events = [event for before, after in pairwise(story) for event in told(before, after)]
    assert events == [("Normal", "WorkersAvailable")] * expected


def test_another_missing_secret_is_told_again() -> None:
    first = status(("False", api.SECRET_NOT_FOUND), "Secret a does not exist in namespace shop. Create it")
    second = status(("False", api.SECRET_NOT_FOUND), "Secret b does not exist in namespace shop. Create it")
    assert told(first, second) == [("Warning", "SecretNotFound")]


@pytest.mark.parametrize("reason", [api.PREFLIGHT_FAILED, api.MIGRATIONS_PENDING])
def test_another_finding_of_a_gate_is_told_again_and_the_same_one_of_another_pod_is_not(reason: str) -> None:
    def found(cause: str, pod: str) -> dict[str, Any]:
        return status(("False", reason), f"It failed: {cause}. See `kubectl -n shop logs {pod} -c preflight`.")

    assert told(found("a.b", "pod-1"), found("a.c", "pod-2")) == [("Warning", reason)]
    assert told(found("a.b", "pod-1"), found("a.b", "pod-2")) == []


def test_a_growing_number_of_restarts_is_not_told_again() -> None:
    first = status(("False", api.CRASH_LOOPING), "ended with exit code 1, 3 restarts so far.")
    second = status(("False", api.CRASH_LOOPING), "ended with exit code 1, 4 restarts so far.")
    assert told(first, second) == []


def test_creating_rolling_and_restoring_are_told_with_their_cause() -> None:
    def message(applied: Applied) -> str:
        return next(transitions(publisher(), applied, WELL, WELL)).message

    assert message(Applied({}, created=True)) == "Created Deployment orders-pub."
    rolled = message(Applied({}, roll="image changed from a to b"))
    assert rolled == "Image changed from a to b; the workers are replaced."
    restored = message(Applied({}, drift="spec.replicas changed from 5 to 1"))
    assert restored == "Deployment orders-pub had been changed and was put back: spec.replicas changed from 5 to 1."


def test_putting_a_changed_template_back_is_told_once() -> None:
    assert told(WELL, WELL, Applied({}, roll="image changed", drift="image changed")) == [
        ("Normal", "RestoredDeployment")
    ]
