"""What is built for KEDA, whole, against golden files, and what AutoscalingReady says of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.autoscaling import autoscaling_ready
from outbox_operator.build.child import KEDA_KINDS, SCALED_OBJECT, TRIGGER_AUTHENTICATION
from outbox_operator.build.names import SPEC_HASH_ANNOTATION
from outbox_operator.build.references import ConfigName
from outbox_operator.children import Child, Present
from outbox_operator.plan import Observed, Plan, plan
from outbox_operator.status import Outcome, awaits_keda, is_settled, ready, status, was_scaled
from tests.unit.operator.golden_files import assert_golden
from tests.unit.operator.objects import NOW, applied, autoscaling, publisher, subscription

CREDENTIALS = {ConfigName("Secret", "orders-env"): {"DATABASE_URL": "x"}}
QUEUE = {
    "type": "RabbitMQ",
    "rabbitMQ": {"managementURL": "http://rabbitmq.infra.svc:15672/", "credentials": {"secretName": "broker"}},
}
EVERYTHING = {
    "minReplicas": 2,
    "maxReplicas": 8,
    "idleReplicas": 0,
    "targetBacklog": 50,
    "activationBacklog": 5,
    "pollingIntervalSeconds": 20,
    "cooldownPeriodSeconds": 60,
    "fallback": {"failureThreshold": 5, "replicas": 3, "behavior": "Static"},
    "behavior": {"scaleDown": {"stabilizationWindowSeconds": 30}},
    "source": {
        "type": "RabbitMQ",
        "rabbitMQ": {"managementURL": "https://broker/management", "vhost": "shop/eu"},
        "authenticationRef": {"kind": "ClusterTriggerAuthentication", "name": "broker"},
    },
}
PROMETHEUS = {"type": "Prometheus", "prometheus": {"serverAddress": "http://prometheus:9090"}}


def planned(resource: Any, live: Any = None, deployment: Any = None, **present: Any) -> Plan:
    children = {
        SCALED_OBJECT: Present(live, **present),
        TRIGGER_AUTHENTICATION: Present(None, **present),
    }
    return plan(resource, Observed(deployment=deployment, config=CREDENTIALS, children=children))


def child(found: Plan, kind: Any = SCALED_OBJECT) -> Child:
    return next(item for item in found.children if item.kind is kind)


@pytest.mark.parametrize(
    ("name", "resource"),
    [
        ("scaled_by_queue", subscription(autoscaling={"maxReplicas": 5, "source": QUEUE})),
        ("scaled_by_queue_everything", subscription(autoscaling=EVERYTHING)),
        ("scaled_by_outbox", publisher(autoscaling=autoscaling(minReplicas=0))),
        ("scaled_by_prometheus", publisher(autoscaling=autoscaling(source=PROMETHEUS))),
        ("scaled_and_suspended", publisher(autoscaling=autoscaling(), state="Suspended")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_built_for_keda_equals_its_golden_file(name: str, resource: Any) -> None:
    found = planned(resource)
    assert_golden(name, [item.wanted for item in found.children if item.kind in KEDA_KINDS and item.wanted])


def test_no_fallback_is_without_a_worker_which_keda_would_take_for_leave_to_stop_the_last_one() -> None:
    wanted = child(planned(publisher(autoscaling=autoscaling(minReplicas=0)))).wanted
    assert wanted is not None
    assert wanted["spec"]["fallback"]["replicas"] == 1


def test_the_deletion_of_a_resource_does_not_wait_for_keda() -> None:
    for item in planned(publisher(autoscaling=autoscaling())).children:
        if item.wanted and item.kind in KEDA_KINDS:
            assert [owner["blockOwnerDeletion"] for owner in item.wanted["metadata"]["ownerReferences"]] == [False]


def test_no_worker_is_added_while_a_roll_is_stuck() -> None:
    resource = publisher(autoscaling=autoscaling())
    annotations = child(planned(resource, deployment=stuck(resource))).wanted["metadata"]["annotations"]  # type: ignore[index]
    assert annotations["autoscaling.keda.sh/paused-scale-out"] == "true"
    other = child(planned(resource)).wanted["metadata"]["annotations"]  # type: ignore[index]
    assert annotations[SPEC_HASH_ANNOTATION] != other[SPEC_HASH_ANNOTATION]


def stuck(resource: Any) -> dict[str, Any]:
    made = planned(resource).deployment
    assert made is not None
    live = applied(made, replicas=1, updated=1)
    live["spec"] = {"replicas": 1, **live["spec"]}
    live["status"]["conditions"] = [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"},
    ]
    return live


def mirrored(*conditions: tuple[str, str], resource: Any = None, **metadata: Any) -> tuple[str, str]:
    resource = resource or publisher(autoscaling=autoscaling())
    wanted = child(planned(resource)).wanted
    assert wanted is not None
    live = {
        **wanted,
        "metadata": {**wanted["metadata"], "uid": "s", **metadata},
        "status": {"conditions": [{"type": type_, "status": status_} for type_, status_ in conditions]},
    }
    found = autoscaling_ready(resource, planned(resource, live), None)
    return found.status, found.reason


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], ("Unknown", api.WAITING_FOR_KEDA)),
        ([("Ready", "Unknown")], ("Unknown", api.WAITING_FOR_KEDA)),
        ([("Ready", "True"), ("Fallback", "False"), ("Paused", "False")], ("True", api.SCALING)),
        ([("Ready", "True"), ("HPAActive", "True")], ("True", api.SCALING)),
        ([("Ready", "False")], ("False", api.SCALED_OBJECT_NOT_READY)),
        ([("Ready", "True"), ("Fallback", "True")], ("False", api.FALLBACK_ACTIVE)),
        ([("Ready", "True"), ("HPAActive", "False")], ("False", api.METRIC_UNAVAILABLE)),
        ([("Ready", "True"), ("Paused", "True")], ("False", api.PAUSED)),
    ],
)
def test_the_condition_says_what_keda_says(conditions: Any, expected: tuple[str, str]) -> None:
    assert mirrored(*conditions) == expected


def test_what_we_paused_ourselves_is_told_apart_from_a_pause_by_hand() -> None:
    suspended = publisher(autoscaling=autoscaling(), state="Suspended")
    assert mirrored(("Ready", "True"), ("Paused", "True"), resource=suspended) == ("False", api.STATE_SUSPENDED)


def test_a_stuck_roll_is_why_no_workers_are_added() -> None:
    resource = publisher(autoscaling=autoscaling())
    assert autoscaling_ready(resource, planned(resource), stuck(resource)).reason == api.SCALE_UP_HELD


def test_a_scaled_object_that_is_going_is_waited_for() -> None:
    assert mirrored(("Ready", "True"), deletionTimestamp="2026-01-02T03:04:05Z") == (
        "False",
        api.TERMINATING_PREDECESSOR,
    )


def test_a_scaled_object_of_somebody_else_is_a_conflict_and_does_not_make_the_workers_unready() -> None:
    resource = publisher(autoscaling=autoscaling())
    live = {"metadata": {"name": "orders-pub", "namespace": "shop", "uid": "f"}, "spec": {}}
    found = planned(resource, live)
    assert autoscaling_ready(resource, found, None).reason == api.NAME_CONFLICT
    assert found.deployment is not None
    outcome = Outcome(applied(found.deployment, replicas=1, updated=1, ready=1, available=1), NOW)
    assert ready(resource, found, outcome).status == "True"
    assert is_settled(found, outcome)


def test_without_keda_the_condition_says_so_and_the_least_number_of_workers_runs() -> None:
    resource = publisher(autoscaling=autoscaling(minReplicas=3))
    found = planned(resource, served=False)
    assert found.deployment is not None
    assert found.deployment["spec"]["replicas"] == 3
    condition = autoscaling_ready(resource, found, None)
    assert (condition.status, condition.reason) == ("False", api.KEDA_NOT_INSTALLED)
    assert "at least 3 workers run" in condition.message


def test_a_missing_credential_is_told_and_holds_up_no_worker() -> None:
    resource = subscription(autoscaling={"maxReplicas": 5, "source": QUEUE})
    found = planned(resource)
    assert found.deployment is not None
    condition = autoscaling_ready(resource, found, None)
    assert condition.reason == api.SECRET_NOT_FOUND
    assert "Secret broker does not exist in namespace shop" in condition.message


def test_kedas_objects_are_only_looked_for_where_there_may_be_some() -> None:
    assert not was_scaled(publisher(replicas=1), None), "as it was created"
    resource = replace(publisher(replicas=1), generation=3)
    assert was_scaled(resource, None)
    written = status(resource, plan(resource, Observed()), Outcome(None, NOW))
    assert not was_scaled(resource, written)
    assert not awaits_keda(written)
    older = {"conditions": [{**item, "observedGeneration": 0} for item in written["conditions"]]}
    assert was_scaled(resource, older)


def test_no_work_is_a_good_state_with_a_reason_of_its_own() -> None:
    resource = publisher(autoscaling=autoscaling(minReplicas=0))
    made = planned(resource).deployment
    assert made is not None
    live = applied({**made, "spec": {**made["spec"], "replicas": 0}})
    found = planned(resource, deployment=live)
    assert found.desired_replicas == 0
    condition = ready(resource, found, Outcome(live, NOW))
    assert (condition.status, condition.reason) == ("True", api.SCALED_TO_ZERO)
    assert "no work" in condition.message
