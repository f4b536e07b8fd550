"""The plan of the operator's chaos is a function of its seed, and its judges see what they are there to see."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME
from outbox_operator.plan import Observed, plan
from outbox_operator.status import Outcome, stamp, status
from tests.chaos.operator import scene
from tests.chaos.operator.audit import Write, second_writers, tenures, writes
from tests.chaos.operator.plan import API_SERVER, OPERATORS, Change, make_plan
from tests.chaos.operator.truth import Snapshot, complaints
from tests.chaos.plan import Kind
from tests.unit.operator.objects import NOW

NAMES = scene.resource_names(20)


def planned(seed: int, faults: int = 400) -> Any:
    return make_plan(seed, faults, 600, NAMES, scene.SECRETS, scene.WORKLOADS)


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)


@pytest.mark.parametrize("faults", [35, 400, 1200])
def test_a_plan_has_as_many_faults_as_asked_for_all_of_them_in_time(faults: int) -> None:
    found = planned(3, faults)
    assert len(found) == faults
    assert all(0 <= fault.at <= 600 for fault in found)


def test_a_long_plan_does_everything() -> None:
    found = planned(4, 1200)
    assert {fault.kind for fault in found if isinstance(fault.kind, Change)} == set(Change)
    for operator in OPERATORS:
        kinds = {fault.kind for fault in found if fault.target == operator}
        assert kinds == set(Kind)
    assert {fault.kind for fault in found if fault.target == API_SERVER} == {
        Kind.KILL,
        Kind.RESTART,
        Kind.FREEZE,
        Kind.LONG_FREEZE,
    }
    assert {fault.target for fault in found} >= {*NAMES, *scene.SECRETS, *scene.WORKLOADS}


def lease(user: str, at: int) -> Write:
    return Write(user, "update", "leases", "outbox-operator", f"{at:02}", f"{at:02}")


def apply(user: str, at: int) -> Write:
    return Write(user, "patch", "deployments", "orders-pub", f"{at:02}", f"{at:02}")


def test_who_writes_while_another_holds_the_lease_is_found() -> None:
    history = [lease("a", 1), apply("a", 2), lease("b", 10), apply("a", 11), lease("b", 12), apply("b", 13)]
    assert second_writers(history) == [apply("a", 11)]
    assert tenures(history) == 2


def test_a_write_after_the_last_lease_is_found_too() -> None:
    assert second_writers([lease("a", 1), lease("b", 10), apply("a", 11)]) == [apply("a", 11)]


def test_writes_between_the_leases_of_two_replicas_are_nobodys() -> None:
    assert second_writers([apply("a", 0), lease("a", 1), apply("a", 2), apply("b", 3), lease("b", 4)]) == []


def test_dry_runs_and_refusals_are_no_writes() -> None:
    def line(code: int, uri: str) -> str:
        event = {
            "stage": "ResponseComplete",
            "responseStatus": {"code": code},
            "requestURI": uri,
            "objectRef": {"resource": "deployments", "name": "orders-pub"},
            "user": {"username": "a"},
            "verb": "patch",
            "requestReceivedTimestamp": "1",
            "stageTimestamp": "2",
        }
        return json.dumps(event)

    found = writes([line(200, "/x"), line(200, "/x?dryRun=All"), line(409, "/x"), '{"half a li'])
    assert found == [Write("a", "patch", "deployments", "orders-pub", "1", "2")]


def made(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a resource and its Deployment as they are when all is well."""
    obj = copy.deepcopy(scene.resource(name))
    obj["metadata"] |= {"uid": f"uid-{name}", "generation": 3}
    resource = parse(KIND_BY_NAME[obj["kind"]], obj)
    wanted = plan(resource, Observed())
    assert wanted.deployment is not None
    live = copy.deepcopy(wanted.deployment)
    live["metadata"] |= {"uid": f"deployment-{name}", "generation": 1}
    found = status(resource, plan(resource, Observed(deployment=live)), Outcome(live, NOW))
    return {**obj, "status": stamp(found, None, NOW)}, live


def snapshot(*made_: tuple[dict[str, Any], dict[str, Any]]) -> Snapshot:
    resources = [obj for obj, _ in made_]
    return Snapshot(
        {
            "Publisher": [obj for obj in resources if obj["kind"] == "Publisher"],
            "Subscription": [obj for obj in resources if obj["kind"] == "Subscription"],
            "Deployment": [deployment for _, deployment in made_],
            "Pod": [],
        }
    )


class TestTruth:
    """What is wrong with a cluster is seen. `resource-02` is a Subscription, `resource-06` a Publisher."""

    def test_nothing_is_wrong_with_what_was_just_made(self) -> None:
        assert complaints(snapshot(made("resource-02"), made("resource-06"))) == []

    @pytest.mark.parametrize(
        ("path", "value", "words"),
        [
            (("spec", "replicas"), 9, "9 replicas instead of 3"),
            (("spec", "template", "spec", "containers", 0, "image"), "evil:1", "the image is evil:1"),
            (("metadata", "labels", "app.kubernetes.io/instance"), "x", "not the planned one"),
            (("metadata", "ownerReferences"), [], "its Deployments are []"),
        ],
    )
    def test_a_changed_deployment(self, path: tuple[Any, ...], value: Any, words: str) -> None:
        obj, live = made("resource-02")
        inner: Any = live
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
        assert any(words in found for found in complaints(snapshot((obj, live))))

    def test_a_status_of_another_generation(self) -> None:
        obj, live = made("resource-02")
        obj["metadata"]["generation"] = 4
        assert any("observedGeneration is 3, the generation 4" in found for found in complaints(snapshot((obj, live))))

    def test_a_missing_deployment(self) -> None:
        obj, _ = made("resource-02")
        found = complaints(Snapshot({"Publisher": [], "Subscription": [obj], "Deployment": [], "Pod": []}))
        assert any("it does not exist" in words for words in found)

    def test_a_deployment_whose_owner_is_gone(self) -> None:
        _, left = made("resource-02")
        found = complaints(Snapshot({"Publisher": [], "Subscription": [], "Deployment": [left], "Pod": []}))
        assert any("its owner is gone" in words for words in found)

    def test_a_second_deployment_for_the_same_workers(self) -> None:
        obj, live = made("resource-02")
        twin = copy.deepcopy(live)
        twin["metadata"] |= {"name": "twin", "uid": "twin"}
        objects = {"Publisher": [], "Subscription": [obj], "Deployment": [live, twin], "Pod": []}
        assert any("2 Deployments select" in words for words in complaints(Snapshot(objects)))
