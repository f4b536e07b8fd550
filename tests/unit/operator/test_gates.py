"""What is said of workers that their init containers do not let start."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.diagnosis import diagnose
from tests.unit.operator.objects import NOW, publisher, subscription

JUST_NOW, LONG_AGO = "2026-01-02T03:04:00Z", "2026-01-02T03:00:00Z"
NO_CALLBACK = "callback: Could not import 'billing.x'. Module 'billing' has no attribute 'x'. Check the name."
MISSING = "migrations: Not applied: shop.0002_total. Run manage.py migrate."
TRACEBACK = "Traceback (most recent call last):\n  File 'x'\nModuleNotFoundError: No module named 'billing'"


def ended(name: str, message: str = "", code: int = 1, **container: Any) -> dict[str, Any]:
    """An init container that has ended and will be started again."""
    over = {"exitCode": code, "message": message, "reason": "Error" if code else "Completed"}
    state = {"waiting": {"reason": "CrashLoopBackOff"}} if code else {"terminated": over}
    return {"name": name, "ready": code == 0, "restartCount": 3, "state": state, "lastState": {"terminated": over}} | (
        container
    )


def waiting(since: str) -> dict[str, Any]:
    return {"name": "await-migrations", "ready": False, "started": True, "state": {"running": {"startedAt": since}}}


def found(*containers: dict[str, Any], resource: Any = None, **pod: Any) -> Any:
    metadata = {"name": "billing-sub-1", "namespace": "shop", "creationTimestamp": LONG_AGO, **pod}
    # The worker itself has not been started.
    worker = {"name": "worker", "ready": False, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
    status = {"initContainerStatuses": list(containers), "containerStatuses": [worker]}
    return diagnose(resource or subscription(), [{"metadata": metadata, "status": status}], NOW)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (NO_CALLBACK, "Module 'billing' has no attribute 'x'"),
        (f"{NO_CALLBACK}\nbroker: Access refused.", "broker: Access refused."),
        (f"{MISSING}\nbroker: Access refused.", "migrations: Not applied: shop.0002_total."),
        (TRACEBACK, "ModuleNotFoundError: No module named 'billing'"),
        ("Unknown command: 'outbox'", "Unknown command: 'outbox'"),
        ("", "exit code 1"),
    ],
    ids=["the callback", "two checks", "migrations and more", "a traceback", "an older library", "nothing"],
)
def test_a_failed_preflight_is_told_with_pythons_words(message: str, words: str) -> None:
    problem = found(ended("preflight", message))
    assert problem.reason == api.PREFLIGHT_FAILED
    assert words in problem.message
    assert "logs billing-sub-1 -c preflight" in problem.message


def test_the_last_failure_stands_while_the_preflight_runs_again() -> None:
    again = ended("preflight", NO_CALLBACK, state={"running": {"startedAt": JUST_NOW}})
    assert found(again).reason == api.PREFLIGHT_FAILED


def test_a_preflight_that_has_passed_is_no_problem_whatever_it_took() -> None:
    assert found(ended("preflight", MISSING, code=0)) is None


def test_a_preflight_that_was_killed_for_its_memory_is_told_as_such() -> None:
    over = {"exitCode": 137, "reason": "OOMKilled"}
    problem = found(ended("preflight", lastState={"terminated": over}))
    assert problem.reason == api.CRASH_LOOPING
    assert "resources.limits.memory" in problem.message


def test_missing_migrations_alone_are_told_by_their_own_reason() -> None:
    problem = found(ended("preflight", MISSING))
    assert problem.reason == api.MIGRATIONS_PENDING
    assert "Not applied: shop.0002_total. Run `manage.py migrate`" in problem.message


WAITS = {"migrations": {"policy": "Wait"}}


def test_waiting_for_migrations_names_those_that_the_preflight_has_noted() -> None:
    problem = found(ended("preflight", MISSING, code=0), waiting(JUST_NOW), resource=publisher(**WAITS))
    assert problem.reason == api.MIGRATIONS_PENDING
    assert "Not applied: shop.0002_total." in problem.message
    assert "-c await-migrations" in problem.message


def test_waiting_is_told_after_a_while_where_nothing_was_noted() -> None:
    assert found(waiting(JUST_NOW), resource=publisher(**WAITS)) is None
    problem = found(waiting(LONG_AGO), resource=publisher(**WAITS))
    assert problem.reason == api.MIGRATIONS_PENDING
    assert "Which ones is in the log." in problem.message


def test_waiting_in_vain_names_what_is_missing() -> None:
    problem = found(ended("await-migrations", "Not applied: shop.0003.", code=2), resource=publisher(**WAITS))
    assert problem.reason == api.MIGRATIONS_PENDING
    assert "Not applied: shop.0003." in problem.message


def test_another_init_container_that_fails_is_a_crash_as_before() -> None:
    assert found(ended("fetch", "boom")).reason == api.CRASH_LOOPING


def test_an_ordered_worker_says_whom_it_waits_for() -> None:
    problem = found(resource=subscription(ordering="Ordered"), deletionTimestamp=LONG_AGO)
    assert problem.reason == api.PREVIOUS_WORKER_STOPPING
    assert "pod billing-sub-1, which is being stopped" in problem.message
    assert found(deletionTimestamp=LONG_AGO) is None
