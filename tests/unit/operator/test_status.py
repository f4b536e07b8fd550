"""The status: conditions for each state of the workers, and times that only move with the status."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.api.conditions import Problem
from outbox_operator.build.references import ConfigName
from outbox_operator.plan import Observed, plan
from outbox_operator.status import Outcome, condition_of, is_settled, needs_pods, stamp, status
from tests.unit.operator.objects import NOW, applied, following, pod, publisher, workload

if TYPE_CHECKING:
    from outbox_operator.api.resource import Resource

IMAGE_TROUBLE = pod(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}})


def state(resource: Resource, *pods: Any, refused: Problem | None = None, **counts: int) -> dict[str, tuple[str, str]]:
    """Return (status, reason) by condition for a resource whose plan was applied."""
    found = full(resource, *pods, refused=refused, **counts)
    return {item["type"]: (item["status"], item["reason"]) for item in found["conditions"]}


def full(resource: Resource, *pods: Any, refused: Problem | None = None, **counts: int) -> dict[str, Any]:
    planned = plan(resource, Observed())
    assert planned.deployment is not None
    return status(resource, planned, Outcome(applied(planned.deployment, **counts), NOW, pods, refused))


ALL_WELL = {"replicas": 2, "updated": 2, "ready": 2, "available": 2}


def test_all_workers_available() -> None:
    assert state(publisher(replicas=2), **ALL_WELL) == {
        "Ready": ("True", api.WORKERS_AVAILABLE),
        "Progressing": ("False", api.ROLLOUT_COMPLETE),
        "ConfigResolved": ("True", api.ALL_REFERENCES_FOUND),
        "AutoscalingReady": ("Unknown", api.NOT_CONFIGURED),
        "Suspended": ("False", api.STATE_RUNNING),
    }


def test_the_followed_workload_is_shown_with_its_revision() -> None:
    target = workload()
    target["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "7"}
    for observed, shown in ((target, {"name": "web", "revision": "7"}), (None, None)):
        planned = plan(following(), Observed(workload=observed))
        assert status(following(), planned, Outcome(None, NOW)).get("workload") == shown


def test_the_secrets_that_workers_read_are_shown_with_their_versions_and_nothing_of_their_content() -> None:
    env = ConfigName("Secret", "env")
    resource = publisher(envFrom=[{"secretRef": {"name": "env"}}])
    planned = plan(resource, Observed(config={env: {"TOKEN": "hidden"}}, versions={env: "8812"}))
    shown = status(resource, planned, Outcome(None, NOW))
    assert shown["configRefs"] == [{"kind": "Secret", "name": "env", "version": "8812"}]
    assert "hidden" not in str(shown)


def test_workers_that_are_starting() -> None:
    found = state(publisher(replicas=2), replicas=2, updated=2, available=1)
    assert found["Ready"] == ("False", api.WORKERS_STARTING)
    assert found["Progressing"] == ("True", api.ROLLING_OUT)


def test_a_roll_that_goes_well_stays_ready() -> None:
    found = state(publisher(replicas=2), replicas=3, updated=1, available=2)
    assert found["Ready"] == ("True", api.WORKERS_AVAILABLE)
    assert found["Progressing"] == ("True", api.ROLLING_OUT)


def test_a_roll_that_fails_is_not_ready_and_says_that_the_old_workers_go_on() -> None:
    found = full(publisher(replicas=2), IMAGE_TROUBLE, replicas=3, updated=1, available=2)
    ready = condition_of(found, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", api.IMAGE_PULL_FAILED)
    assert ready["message"].endswith("2 workers that were started before go on.")


def test_counts_that_no_controller_has_made_are_not_believed() -> None:
    planned = plan(publisher(), Observed())
    assert planned.deployment is not None
    deployment = applied(planned.deployment, replicas=1, updated=1, ready=1, available=1)
    deployment["status"]["observedGeneration"] = 0
    outcome = Outcome(deployment, NOW)
    ready = condition_of(status(publisher(), planned, outcome), "Ready")
    assert ready is not None
    assert ready["status"] == "False"
    assert not is_settled(planned, outcome)


def test_workers_that_go_on_while_a_roll_begins_stay_ready() -> None:
    planned = plan(publisher(replicas=2), Observed())
    assert planned.deployment is not None
    deployment = applied(planned.deployment, **ALL_WELL)
    deployment["metadata"]["generation"] = 2
    found = status(publisher(replicas=2), planned, Outcome(deployment, NOW))
    by_type = {item["type"]: item["status"] for item in found["conditions"]}
    assert (by_type["Ready"], by_type["Progressing"]) == ("True", "True")


def test_suspended_and_stopped() -> None:
    found = state(publisher(state="Suspended"))
    assert found["Ready"] == ("False", api.STATE_SUSPENDED)
    assert found["Suspended"] == ("True", api.STATE_SUSPENDED)
    assert found["Progressing"] == ("False", api.ROLLOUT_COMPLETE)


def test_suspended_and_still_finishing() -> None:
    found = state(publisher(state="Suspended"), replicas=1, updated=1, available=1)
    assert found["Suspended"] == ("True", api.SUSPENDING)


def test_no_replicas_wanted_is_ready() -> None:
    assert state(publisher(replicas=0))["Ready"] == ("True", api.SCALED_TO_ZERO)


def test_a_refused_plan_carries_the_words_of_the_api_server() -> None:
    found = full(publisher(), refused=Problem(api.INVALID_SPEC, "The API server refuses the Deployment: no."))
    ready, progressing = condition_of(found, "Ready"), condition_of(found, "Progressing")
    assert ready is not None
    assert progressing is not None
    assert (ready["reason"], ready["message"]) == (api.INVALID_SPEC, "The API server refuses the Deployment: no.")
    assert progressing["reason"] == api.ON_HOLD


def test_a_missing_secret_shows_in_ready_and_config_resolved() -> None:
    resource = publisher(envFrom=[{"secretRef": {"name": "env"}}])
    planned = plan(resource, Observed(config={ConfigName("Secret", "env"): None}))
    found = status(resource, planned, Outcome(None, NOW))
    conditions = {item["type"]: (item["status"], item["reason"]) for item in found["conditions"]}
    assert conditions["Ready"] == conditions["ConfigResolved"] == ("False", api.SECRET_NOT_FOUND)
    assert not is_settled(planned, Outcome(None, NOW))


@pytest.mark.parametrize(
    ("condition", "reason", "type_"),
    [
        (
            {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"},
            api.PODS_NOT_CREATED,
            "Ready",
        ),
        (
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            api.PROGRESS_DEADLINE_EXCEEDED,
            "Ready",
        ),
        (
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
            api.PROGRESS_DEADLINE_EXCEEDED,
            "Progressing",
        ),
    ],
)
def test_conditions_of_the_deployment_are_told(condition: dict[str, Any], reason: str, type_: str) -> None:
    planned = plan(publisher(), Observed())
    assert planned.deployment is not None
    deployment = applied(planned.deployment)
    deployment["status"]["conditions"] = [condition]
    found = condition_of(status(publisher(), planned, Outcome(deployment, NOW)), type_)
    assert found is not None
    assert (found["status"], found["reason"]) == ("False", reason)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    resource = publisher(replicas=2)
    first = stamp(full(resource), None, NOW)
    later = stamp(full(resource, replicas=2, updated=2, available=1), first, NOW + timedelta(minutes=1))
    ready = stamp(full(resource, **ALL_WELL), later, NOW + timedelta(minutes=2))
    times = [item["lastTransitionTime"] for found in (first, later, ready) for item in found["conditions"][:1]]
    assert times == ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", "2026-01-02T03:06:05Z"]


def test_the_same_state_gives_the_same_status_whatever_the_time() -> None:
    first = stamp(full(publisher(), **ALL_WELL), None, NOW)
    assert stamp(full(publisher(), **ALL_WELL), first, NOW + timedelta(days=1)) == first


def test_the_status_names_the_deployment_the_image_and_the_selector() -> None:
    found = full(publisher(replicas=2), **ALL_WELL)
    assert {name: value for name, value in found.items() if name != "conditions"} == {
        "observedGeneration": 1,
        "deploymentName": "orders-pub",
        "image": "shop:1",
        "selector": "djangooutbox.io/publisher=orders",
        "desiredReplicas": 2,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
    }


@pytest.mark.parametrize(
    ("counts", "needed"),
    [
        (ALL_WELL, False),
        ({**ALL_WELL, "available": 1}, True),
        ({**ALL_WELL, "replicas": 3}, True),
        ({**ALL_WELL, "updated": 1}, True),
    ],
)
def test_pods_are_read_only_while_something_is_missing(counts: dict[str, int], needed: bool) -> None:
    planned = plan(publisher(replicas=2), Observed())
    assert planned.deployment is not None
    assert needs_pods(applied(planned.deployment, **counts)) is needed
