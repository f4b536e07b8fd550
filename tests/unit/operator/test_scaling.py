"""Who says how many workers run: the resource, or whoever scales the Deployment."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_operator.scaling import Replicas, holds_replicas, owns_replicas, replicas
from tests.unit.operator.objects import autoscaling, publisher, subscription


def live(number: int, *managers: tuple[str, str]) -> dict[str, Any]:
    """A Deployment with so many replicas, which these (manager, operation) set."""
    entries = [
        {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {}}}}
        for manager, operation in managers
    ]
    return {"metadata": {"managedFields": entries}, "spec": {"replicas": number}}


OURS = ("outbox-operator", "Apply")
SCALED = autoscaling(minReplicas=2, maxReplicas=9)
FROM_ZERO = autoscaling(minReplicas=0, maxReplicas=9)


@pytest.mark.parametrize(
    ("spec", "deployment", "scaled", "expected"),
    [
        ({"replicas": 3}, None, True, Replicas(3, 3)),
        ({"replicas": 3}, live(7), True, Replicas(3, 3)),
        ({"replicas": 0}, live(7), True, Replicas(0, 0)),
        ({"replicas": 3, "state": "Suspended"}, live(3), True, Replicas(0, 0)),
        # Nobody names a number.
        ({}, None, True, Replicas(None, 1)),
        ({}, live(7), True, Replicas(None, 7)),
        ({}, live(0, ("kubectl", "Update")), True, Replicas(None, 0)),
        ({}, live(0, OURS), True, Replicas(1, 1)),
        ({}, live(4, OURS), True, Replicas(None, 4)),
        # KEDA decides.
        ({"autoscaling": SCALED}, None, True, Replicas(2, 2)),
        ({"autoscaling": FROM_ZERO}, None, True, Replicas(None, 1)),
        ({"autoscaling": SCALED}, live(7), True, Replicas(None, 7)),
        ({"autoscaling": SCALED}, live(1, ("keda", "Update")), True, Replicas(None, 1)),
        ({"autoscaling": FROM_ZERO}, live(0, ("keda", "Update")), True, Replicas(None, 0)),
        ({"autoscaling": SCALED, "state": "Suspended"}, live(7), True, Replicas(0, 0)),
        ({"autoscaling": SCALED}, live(0, OURS), True, Replicas(2, 2)),
        ({"autoscaling": FROM_ZERO}, live(0, OURS), True, Replicas(None, 0)),
        # KEDA is not there.
        ({"autoscaling": SCALED}, None, False, Replicas(2, 2)),
        ({"autoscaling": SCALED}, live(7), False, Replicas(None, 7)),
        ({"autoscaling": SCALED}, live(1), False, Replicas(2, 2)),
        ({"autoscaling": FROM_ZERO}, live(0), False, Replicas(1, 1)),
    ],
)
def test_the_number_of_workers(
    spec: dict[str, Any], deployment: dict[str, Any] | None, scaled: bool, expected: Replicas
) -> None:
    assert replicas(publisher(**spec), deployment, scaled=scaled) == expected


def test_an_ordered_subscription_never_keeps_a_second_worker_whoever_asked_for_it() -> None:
    resource = subscription(ordering="Ordered")
    assert replicas(resource, live(3, ("hpa", "Update")), scaled=True) == Replicas(1, 1)


def test_a_number_that_others_set_is_not_ours() -> None:
    assert not owns_replicas(live(3, ("keda", "Update"), ("outbox-operator-handover", "Apply")))
    assert not owns_replicas({"metadata": {}, "spec": {}})


def test_a_number_that_was_patched_is_ours_but_not_taken_away_by_applying_without_it() -> None:
    patched = live(3, ("outbox-operator", "Update"))
    assert owns_replicas(patched)
    assert not holds_replicas(patched)
    assert holds_replicas(live(3, OURS))
