"""What is remembered between passes: only the newest, only as long as it is good, and never what is doubted."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from outbox_operator import reading
from outbox_operator.api.resource import PUBLISHER, Key
from outbox_operator.budgets import BUDGETS
from outbox_operator.build.labels import object_labels
from outbox_operator.errors import UnreachableError
from outbox_operator.kube import CONFIG_MAPS, DEPLOYMENTS, SECRETS, Type, type_of
from outbox_operator.mirror import Mirror, Place, mention, place_of, snapshot
from outbox_operator.reading import Memory
from tests.unit.operator.objects import metadata

ORDERS = Key(PUBLISHER, "shop", "orders")
PLACE = Place("deployments", "shop", "orders-pub")


def obj(name: str, version: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {**metadata(name), "resourceVersion": str(version)}, **more}


def deployment(version: int, **more: Any) -> dict[str, Any]:
    found = obj("orders-pub", version, **more)
    found["metadata"]["labels"] = object_labels(ORDERS)
    return found


class CountingApi:
    """Holds objects by name and counts who is asked for."""

    def __init__(self, *objects: dict[str, Any]) -> None:
        self.objects = {item["metadata"]["name"]: item for item in objects}
        self.asked: Counter[str] = Counter()
        self.fails = False

    async def get(self, type_: Type, namespace: str, name: str) -> Any:
        self.asked[name] += 1
        await asyncio.sleep(0)
        if self.fails:
            raise UnreachableError("no answer")
        return self.objects.get(name)

    get_of_known_kind = get


def memory_of(*objects: dict[str, Any]) -> tuple[Memory, CountingApi]:
    api = CountingApi(*objects)
    return Memory(api, Mirror()), api  # type: ignore[arg-type]


def test_an_older_state_never_replaces_a_newer_one() -> None:
    mirror = Mirror()
    assert mirror.note(snapshot("deployments", deployment(7, spec={"n": 7})))
    assert not mirror.note(snapshot("deployments", deployment(6, spec={"n": 6})))
    assert not mirror.note(snapshot("deployments", deployment(7, spec={"n": 7})))
    assert mirror.note(snapshot("deployments", deployment(10, spec={"n": 10})))
    assert mirror.get(PLACE) == deployment(10, spec={"n": 10})


def test_an_answer_that_comes_after_the_deletion_brings_nothing_back_to_life() -> None:
    mirror = Mirror()
    mirror.complete = True
    mirror.drop(PLACE, 9)
    assert not mirror.note(snapshot("deployments", deployment(8)))
    assert mirror.lacks(PLACE)
    assert mirror.note(snapshot("deployments", deployment(11)))


def test_a_deletion_that_comes_late_takes_no_successor_along() -> None:
    mirror = Mirror()
    mirror.note(snapshot("deployments", deployment(11)))
    mirror.drop(PLACE, 9)
    assert mirror.get(PLACE) is not None


def test_nothing_counts_as_missing_before_everything_was_listed() -> None:
    mirror = Mirror()
    assert not mirror.lacks(PLACE)
    mirror.complete = True
    assert mirror.lacks(PLACE)


def test_of_deployments_of_others_only_their_existence_is_kept() -> None:
    mirror = Mirror()
    mirror.complete = True
    stranger = obj("orders-pub", 3, spec={"large": "content"})
    for seen in (snapshot("deployments", stranger), mention("deployments", deployment(4))):
        mirror.note(seen)
        assert mirror.get(PLACE) is None
        assert not mirror.lacks(PLACE)


def test_of_the_records_of_field_managers_is_kept_what_tells_who_owns_the_replicas() -> None:
    fields = {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}
    ours = {"manager": "outbox-operator", "operation": "Apply", "fieldsV1": fields}
    found = deployment(1)
    found["metadata"]["managedFields"] = [ours, {"manager": "kubectl", "fieldsV1": fields}]
    mirror = Mirror()
    mirror.note(snapshot("deployments", found))
    kept = mirror.get(place_of("deployments", found))
    assert kept is not None
    assert kept["metadata"]["managedFields"] == [{**ours, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]


async def test_what_the_watches_have_shown_is_not_asked_for_and_a_doubt_has_it_read_once() -> None:
    memory, api = memory_of(deployment(8))
    memory.mirror.note(snapshot("deployments", deployment(7)))
    first = memory.reading(ORDERS)
    assert await first.get(DEPLOYMENTS, "shop", "orders-pub") == deployment(7)
    assert (first.remembered, first.fresh, api.asked.total()) == (True, False, 0)
    memory.doubt(ORDERS)
    second = memory.reading(ORDERS)
    assert await second.get(DEPLOYMENTS, "shop", "orders-pub") == deployment(8)
    assert (second.remembered, second.fresh, api.asked.total()) == (False, True, 1)
    third = memory.reading(ORDERS)
    assert await third.get(DEPLOYMENTS, "shop", "orders-pub") == deployment(8)
    assert (third.remembered, api.asked.total()) == (True, 1)


async def test_what_is_found_to_be_gone_is_forgotten() -> None:
    memory, _ = memory_of()
    memory.mirror.complete = True
    memory.mirror.note(snapshot("deployments", deployment(7)))
    assert await memory.anew().get(DEPLOYMENTS, "shop", "orders-pub") is None
    assert memory.lacks_deployment(ORDERS)


async def test_a_resource_that_no_watch_has_shown_is_asked_for() -> None:
    memory, api = memory_of(obj("orders", 1))
    memory.mirror.complete = True
    read = memory.reading(ORDERS)
    assert await read.get(type_of(PUBLISHER), "shop", "orders") == obj("orders", 1)
    assert (read.remembered, api.asked["orders"]) == (False, 1)


@pytest.mark.parametrize("type_", [SECRETS, CONFIG_MAPS])
async def test_many_passes_ask_once_for_what_they_share(type_: Type) -> None:
    memory, api = memory_of(obj("env", 1))
    reads = [memory.reading(ORDERS).get(type_, "shop", "env") for _ in range(20)]
    assert await asyncio.gather(*reads) == [obj("env", 1)] * 20
    assert api.asked["env"] == 1
    memory.configs.forget(Place(type_.plural, "shop", "env"))
    await memory.reading(ORDERS).get(type_, "shop", "env")
    assert api.asked["env"] == 2


async def test_before_a_change_a_secret_is_read_anew_by_each_pass() -> None:
    memory, api = memory_of(obj("env", 1))
    await memory.reading(ORDERS).get(SECRETS, "shop", "env")
    del api.objects["env"]
    assert await memory.anew().get(SECRETS, "shop", "env") is None
    assert await memory.reading(ORDERS).get(SECRETS, "shop", "env") is None


async def test_a_secret_that_does_not_exist_is_asked_for_again_each_time() -> None:
    memory, api = memory_of()
    for _ in range(2):
        assert await memory.reading(ORDERS).get(SECRETS, "shop", "env") is None
    assert api.asked["env"] == 2


async def test_a_failure_to_read_is_not_remembered() -> None:
    memory, api = memory_of(obj("env", 1))
    api.fails = True
    with pytest.raises(UnreachableError):
        await memory.reading(ORDERS).get(SECRETS, "shop", "env")
    api.fails = False
    assert await memory.reading(ORDERS).get(SECRETS, "shop", "env") == obj("env", 1)


async def test_a_secret_is_forgotten_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CONFIG_SECONDS", 0.0)
    memory, api = memory_of(obj("env", 1))
    async with asyncio.timeout(5):
        while api.asked["env"] < 2:
            await memory.reading(ORDERS).get(SECRETS, "shop", "env")
            await asyncio.sleep(0)


def budget(*, owned: bool = True, **metadata: Any) -> Any:
    owner = {"apiVersion": "djangooutbox.io/v1alpha1", "kind": "Publisher", "name": "orders", "controller": True}
    found = obj("orders-pub", 1)
    return {**found, "metadata": {**found["metadata"], "ownerReferences": [owner] if owned else [], **metadata}}


async def read_budget(read: reading.Reading) -> Any:
    return await read.get_of_known_kind(BUDGETS, "shop", "orders-pub")


async def test_a_budget_of_ours_is_believed_unless_it_is_doubted() -> None:
    memory, api = memory_of(budget())
    for read, asked in ((memory.reading(ORDERS), 1), (memory.reading(ORDERS), 1), (memory.anew(), 2)):
        assert await read_budget(read) == budget()
        assert api.asked["orders-pub"] == asked


async def test_a_budget_that_is_not_ours_is_read_by_each_pass() -> None:
    memory, api = memory_of(budget(owned=False))
    for asked in (1, 2):
        await read_budget(memory.reading(ORDERS))
        assert api.asked["orders-pub"] == asked


@pytest.mark.parametrize(
    ("listed", "concerned"),
    [
        ([budget()], set()),
        ([budget(resourceVersion="7")], set()),
        ([budget(generation=2)], {ORDERS}),
        ([budget(labels={"seen": "1"})], {ORDERS}),
        ([budget(uid="another")], {ORDERS}),
        ([budget(owned=False)], {ORDERS}),
        ([], {ORDERS}),
    ],
    ids=["as it was", "another status", "another spec", "another label", "made again", "without its owner", "gone"],
)
async def test_a_list_shows_which_budgets_are_no_longer_as_they_were(listed: list[Any], concerned: set[Key]) -> None:
    memory, _ = memory_of(budget())
    await read_budget(memory.reading(ORDERS))
    assert memory.budgets.concerned(listed) == concerned


def test_a_list_shows_budgets_that_nothing_was_known_of() -> None:
    memory, _ = memory_of()
    assert memory.budgets.concerned([budget(), budget(name="web", owned=False)]) == {ORDERS}
