"""What is decided about the objects beside the Deployment, without a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from outbox_operator.api import conditions as api
from outbox_operator.build.child import POD_DISRUPTION_BUDGET
from outbox_operator.build.references import ConfigName
from outbox_operator.children import CHILD_KINDS, Child, Present
from outbox_operator.kube import DEPLOYMENTS
from outbox_operator.observe import observe
from outbox_operator.plan import Observed, plan
from outbox_operator.status import Outcome, is_settled, ready
from tests.unit.operator.golden_files import assert_golden
from tests.unit.operator.objects import NOW, applied, publisher, subscription

if TYPE_CHECKING:
    from outbox_operator.api.resource import Object, Resource

FOREIGN_OWNER = {"apiVersion": "example.com/v1", "kind": "Guard", "name": "g", "uid": "x", "controller": True}


def budget(resource: Resource, live: Object | None = None, **observed: Any) -> Child:
    children = {POD_DISRUPTION_BUDGET: Present(live)}
    found = plan(resource, Observed(children=children, **observed)).children
    return next(child for child in found if child.kind is POD_DISRUPTION_BUDGET)


def live_budget(**metadata: Any) -> Object:
    wanted = budget(publisher(replicas=2)).wanted
    assert wanted is not None
    return {**wanted, "metadata": {**wanted["metadata"], "uid": "b", **metadata}}


def test_the_budget_equals_its_golden_file() -> None:
    assert_golden("subscription_budget", budget(subscription(replicas=3)).wanted)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": 2}, 1),
        ({"replicas": 4, "podDisruptionBudget": {"maxUnavailable": "50%"}}, "50%"),
        ({"replicas": 1}, None),
        ({}, None),
        ({"replicas": 2, "podDisruptionBudget": {"policy": "Disabled"}}, None),
    ],
)
def test_two_workers_or_more_get_a_budget_unless_it_is_disabled(spec: Any, expected: Any) -> None:
    wanted = budget(publisher(**spec)).wanted
    assert (wanted["spec"]["maxUnavailable"] if wanted else None) == expected


def test_a_child_of_ours_that_is_no_longer_wanted_is_removed() -> None:
    assert budget(publisher(replicas=1), live_budget()).removable


@pytest.mark.parametrize(
    "metadata",
    [{"ownerReferences": [FOREIGN_OWNER]}, {"ownerReferences": [], "labels": {}}],
    ids=["another controller", "nobody"],
)
def test_a_child_of_somebody_else_is_neither_taken_over_nor_removed(metadata: Any) -> None:
    foreign = live_budget(**metadata)
    wanted = budget(publisher(replicas=2), foreign)
    assert wanted.conflict is not None
    assert wanted.conflict.reason == api.NAME_CONFLICT
    assert "PodDisruptionBudget orders-pub is needed" in wanted.conflict.message
    unwanted = budget(publisher(replicas=1), foreign)
    assert (unwanted.removable, unwanted.conflict) == (False, None)


def test_an_orphaned_child_of_ours_is_adopted_or_removed() -> None:
    orphan = live_budget(ownerReferences=[])
    assert budget(publisher(replicas=2), orphan).conflict is None
    assert budget(publisher(replicas=1), orphan).removable


@pytest.mark.parametrize("is_orphan", [True, False])
def test_an_orphaned_deployment_has_whatever_scaled_it_looked_for(is_orphan: bool) -> None:
    resource = publisher(replicas=2)
    live = plan(resource, Observed()).deployment
    assert live is not None
    if is_orphan:
        live = {**live, "metadata": {**live["metadata"], "ownerReferences": []}}

    class Cluster:
        async def get(self, type_: Any, *_: Any) -> Any:
            return live if type_ == DEPLOYMENTS else None

        get_of_known_kind = get

    found = asyncio.run(observe(cast("Any", Cluster()), resource))
    assert set(found.children) == (set(CHILD_KINDS) if is_orphan else {POD_DISRUPTION_BUDGET})


def test_a_child_that_cannot_be_made_is_told_in_ready_and_looked_at_again() -> None:
    resource = publisher(replicas=2)
    present = {POD_DISRUPTION_BUDGET: Present(live_budget(ownerReferences=[FOREIGN_OWNER]))}
    planned = plan(resource, Observed(children=present))
    assert planned.deployment is not None
    running = applied(planned.deployment, replicas=2, updated=2, ready=2, available=2)
    outcome = Outcome(running, NOW)
    found = ready(resource, planned, outcome)
    assert (found.status, found.reason) == ("False", api.NAME_CONFLICT)
    assert "2 workers that were started before go on" in found.message
    assert not is_settled(planned, outcome)


def test_nothing_is_planned_for_children_beside_a_deployment_of_somebody_else() -> None:
    foreign = {"metadata": {"name": "orders-pub"}, "spec": {"selector": {}, "template": {"spec": {"containers": []}}}}
    found = plan(publisher(replicas=2), Observed(foreign, children={POD_DISRUPTION_BUDGET: Present()}))
    assert found.children == ()


def test_children_follow_the_spec_while_a_secret_is_missing() -> None:
    missing = {ConfigName("Secret", "env"): None}
    resource = publisher(replicas=1, envFrom=[{"secretRef": {"name": "env"}}])
    assert budget(resource, live_budget(), config=missing).removable


def test_a_kind_that_was_not_looked_at_is_left_alone() -> None:
    assert plan(publisher(replicas=2), Observed()).children == ()
