"""What the watches delivered against what exists: missed changes are counted and a dead watch is noticed."""

from __future__ import annotations

from typing import Any

import pytest

from outbox_operator.api.resource import PUBLISHER, SUBSCRIPTION, Key
from outbox_operator.budgets import BUDGETS
from outbox_operator.build.references import ConfigName
from outbox_operator.deliveries import Deliveries, WatchEvent
from outbox_operator.dependencies import Dependencies
from outbox_operator.errors import GoneError
from outbox_operator.handlers import Triggers
from outbox_operator.knowledge import Knowledge
from outbox_operator.kube import DEPLOYMENTS, type_of
from outbox_operator.mirror import Mirror, snapshot
from outbox_operator.reading import Memory
from outbox_operator.resync import SHARE, Health, Resync
from tests.unit.operator.objects import metadata, workload

ORDERS = Key(PUBLISHER, "shop", "orders")


def resource(generation: int = 1, **spec: Any) -> dict[str, Any]:
    return {"metadata": metadata("orders", generation=generation), "spec": spec}


def owned(generation: int = 1, owner: str = "orders") -> dict[str, Any]:
    reference = {"apiVersion": "djangooutbox.io/v1alpha1", "kind": "Publisher", "name": owner, "controller": True}
    owners = [{**reference, "uid": "u"}]
    return {"metadata": metadata(f"{owner}-pub", uid=f"d-{owner}", generation=generation, ownerReferences=owners)}


class ListingApi:
    """Answers lists, and one version for every Secret."""

    def __init__(
        self, publishers: list[Any] | None = None, deployments: list[Any] | None = None, version: str | None = None
    ) -> None:
        self.objects = {type_of(PUBLISHER): publishers or [], DEPLOYMENTS: deployments or []}
        self._version = version

    async def version(self, type_: Any, namespace: str, name: str) -> str | None:
        return self._version

    async def list(
        self, type_: Any, namespace: str | None, selector: str = "", *, metadata_only: bool = False
    ) -> list[Any]:
        found = self.objects.get(type_, [])
        return [{"metadata": obj["metadata"]} for obj in found] if metadata_only else found


def resync_of(
    api: ListingApi, deliveries: Deliveries, added: list[Key], dependencies: Dependencies | None = None
) -> Resync:
    return Resync((), knowledge_of(api, deliveries, dependencies), added.append)


def knowledge_of(
    api: ListingApi | None = None, deliveries: Deliveries | None = None, dependencies: Dependencies | None = None
) -> Knowledge:
    memory = Memory(api or ListingApi(), Mirror())  # type: ignore[arg-type]
    return Knowledge(memory, deliveries or Deliveries(), dependencies=dependencies or Dependencies())


async def no_sleep(_: float) -> None:
    return None


def many(number: int) -> tuple[ListingApi, Deliveries]:
    """So many Publishers with their Deployments, and watches that have delivered all of it."""
    names = [f"p{index}" for index in range(number)]
    publishers = [{"metadata": metadata(name, uid=name), "spec": {}} for name in names]
    deployments = [owned(owner=name) for name in names]
    deliveries = Deliveries()
    for plural, objects in (("publishers", publishers), ("deployments", deployments)):
        for obj in objects:
            deliveries.note(WatchEvent(plural, deleted=False, obj=obj))
    return ListingApi(publishers, deployments), deliveries


async def test_a_full_look_puts_every_resource_on_the_queue() -> None:
    added: list[Key] = []
    await resync_of(ListingApi([resource()]), Deliveries(), added).look(no_sleep)
    assert added == [ORDERS]


async def test_of_many_resources_a_share_is_put_on_the_queue_and_everyone_has_a_turn() -> None:
    api, deliveries = many(2 * SHARE + 1)
    added: list[Key] = []
    resync = resync_of(api, deliveries, added)
    for looks in (1, 2):
        await resync.look(no_sleep)
        assert len(set(added)) == len(added) == looks * SHARE
    await resync.look(no_sleep)
    assert len(set(added)) == 2 * SHARE + 1


async def test_what_was_not_delivered_is_looked_at_without_waiting_for_its_turn() -> None:
    api, deliveries = many(3 * SHARE)
    added: list[Key] = []
    resync = resync_of(api, deliveries, added)
    await resync.look(no_sleep)
    waiting = next(
        obj for obj in api.objects[type_of(PUBLISHER)] if Key(PUBLISHER, "shop", obj["metadata"]["name"]) not in added
    )
    waiting["metadata"]["generation"] = 2
    await resync.look(no_sleep)
    assert Key(PUBLISHER, "shop", waiting["metadata"]["name"]) in added


async def test_a_state_that_no_watch_has_shown_is_read_anew_though_no_generation_tells_of_it() -> None:
    api, deliveries = many(3 * SHARE)
    knowledge, added = knowledge_of(api, deliveries), list[Key]()
    for objects in api.objects.values():
        for obj in objects:
            obj["metadata"]["resourceVersion"] = "7"
    for type_, objects in api.objects.items():
        for obj in objects:
            knowledge.memory.mirror.note(snapshot(type_.plural, obj))
    resync = Resync((), knowledge, added.append)
    changed = api.objects[DEPLOYMENTS][-1]["metadata"]
    await resync.look(no_sleep)
    assert not any(knowledge.memory.reading(key).fresh for key in added)
    changed["resourceVersion"] = "8"
    for _ in range(2):
        added.clear()
        missed = await resync.look(no_sleep)
        key = Key(PUBLISHER, "shop", changed["ownerReferences"][0]["name"])
        assert [key for key in added if knowledge.memory.reading(key).fresh] == [key]
        assert set(missed.values()) == {0}


async def test_who_shares_a_queue_with_whom_is_learned_from_what_was_not_delivered() -> None:
    subscriptions = [
        {
            "metadata": metadata(name, uid=name, creationTimestamp=f"2026-01-0{day}T00:00:00Z"),
            "spec": {"queue": "billing", "callback": f"callbacks.{name}"},
        }
        for day, name in ((1, "older"), (2, "younger"))
    ]
    api = ListingApi()
    api.objects[type_of(SUBSCRIPTION)] = subscriptions
    knowledge = knowledge_of(api)
    await Resync((), knowledge, lambda _: None).look(no_sleep)
    assert knowledge.consumers.rival(Key(SUBSCRIPTION, "shop", "younger")) == "older"


async def test_a_resource_without_a_deployment_is_looked_at_without_waiting_for_its_turn() -> None:
    api, deliveries = many(3 * SHARE)
    robbed = api.objects[DEPLOYMENTS].pop()["metadata"]["ownerReferences"][0]["name"]
    added: list[Key] = []
    resync = resync_of(api, deliveries, added)
    for _ in range(2):
        added.clear()
        await resync.look(no_sleep)
        assert Key(PUBLISHER, "shop", robbed) in added


async def test_a_resource_that_is_gone_is_looked_at_once_more() -> None:
    api = ListingApi([resource()])
    added: list[Key] = []
    resync = resync_of(api, Deliveries(), added)
    await resync.look(no_sleep)
    api.objects[type_of(PUBLISHER)].clear()
    await resync.look(no_sleep)
    await resync.look(no_sleep)
    assert added == [ORDERS, ORDERS]


async def test_whoever_knows_another_version_of_a_secret_is_looked_at_without_waiting_for_its_turn() -> None:
    api, deliveries = many(3 * SHARE)
    api._version = "2"
    keys = [Key(PUBLISHER, "shop", f"p{index}") for index in range(3 * SHARE)]
    dependencies = Dependencies()
    for key in keys:
        dependencies.note(key, {ConfigName("Secret", "env"): "1" if key in keys[:5] else "2"})
    added: list[Key] = []
    resync = resync_of(api, deliveries, added, dependencies)
    for _ in range(2):
        added.clear()
        await resync.look(no_sleep)
        assert set(keys[:5]) <= set(added)


async def test_what_the_watch_has_delivered_is_not_missed() -> None:
    deliveries = Deliveries()
    deliveries.note(WatchEvent("publishers", deleted=False, obj=resource(2)))
    missed = await resync_of(ListingApi([resource(2)]), deliveries, []).look(no_sleep)
    assert missed == {"publishers": 0, "subscriptions": 0, "deployments": 0}


async def test_an_event_that_is_late_is_not_missed() -> None:
    deliveries = Deliveries()

    async def delivered_meanwhile(_: float) -> None:
        deliveries.note(WatchEvent("publishers", deleted=False, obj=resource(2)))

    missed = await resync_of(ListingApi([resource(2)]), deliveries, []).look(delivered_meanwhile)
    assert missed["publishers"] == 0


async def test_generations_that_were_not_delivered_are_missed() -> None:
    deliveries = Deliveries()
    deliveries.note(WatchEvent("publishers", deleted=False, obj=resource(1)))
    api = ListingApi([resource(2)], [owned()])
    missed = await resync_of(api, deliveries, []).look(no_sleep)
    assert missed == {"publishers": 1, "subscriptions": 0, "deployments": 1}


def test_a_watch_is_dead_after_misses_in_two_rounds_in_a_row() -> None:
    health = Health(60)
    health.looked({"publishers": 1})
    assert health.complaint() is None
    health.looked({"publishers": 3})
    assert "publishers" in str(health.complaint())


def test_a_watch_that_delivers_again_is_alive() -> None:
    health = Health(60)
    for number in (1, 1, 0):
        health.looked({"publishers": number})
    assert health.complaint() is None


def test_a_look_that_never_comes_is_a_complaint_but_standing_by_is_none() -> None:
    now = 0.0
    health = Health(60, clock=lambda: now)
    now = 10_000.0
    assert health.complaint() is None
    health.working()
    now += 10_000.0
    assert "no full look" in str(health.complaint())


async def test_a_budget_that_is_not_as_it_was_has_its_resource_looked_at_without_waiting_for_its_turn() -> None:
    api, deliveries = many(3 * SHARE)
    api.objects[BUDGETS] = [owned(owner=f"p{index}") for index in range(3 * SHARE)]
    added: list[Key] = []
    resync = resync_of(api, deliveries, added)
    await first_listing(resync)
    added.clear()
    await resync.look(no_sleep)
    waiting = next(index for index in range(3 * SHARE) if Key(PUBLISHER, "shop", f"p{index}") not in added)
    api.objects[BUDGETS][waiting] = owned(owner=f"p{waiting}", generation=2)
    await resync.look(no_sleep)
    assert Key(PUBLISHER, "shop", f"p{waiting}") in added[SHARE:]


async def first_listing(resync: Resync) -> None:
    """Run until the watches would begin."""

    async def begin() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await resync.run(60, Health(60), begin, no_sleep)


class Flaky(ListingApi):
    """Cannot be listed in some rounds."""

    def __init__(self, *fails: bool) -> None:
        super().__init__()
        self.fails = list(fails)

    async def list(self, type_: Any, namespace: str | None, selector: str = "", **_: Any) -> list[Any]:
        if type_ == type_of(PUBLISHER) and self.fails.pop(0):
            raise GoneError("no such type")
        return []


async def run_rounds(api: Flaky, rounds: int) -> tuple[Health, list[int]]:
    """Run for so many pauses; return the health and in which round the watches began."""
    health, began, paused = Health(60), [], 0

    async def sleep(_: float) -> None:
        nonlocal paused
        paused += 1
        if paused > rounds:
            raise InterruptedError

    async def begin() -> None:
        began.append(paused)

    with pytest.raises(InterruptedError):
        await resync_of(api, Deliveries(), []).run(60, health, begin, sleep)
    return health, began


async def test_watches_begin_as_soon_as_everything_can_be_listed() -> None:
    assert (await run_rounds(Flaky(False, False), 1))[1] == [0]
    assert (await run_rounds(Flaky(True, True, False, False), 3))[1] == [2]


async def test_an_api_server_that_is_away_is_no_fault_of_the_operator() -> None:
    health, _ = await run_rounds(Flaky(False, True, True, True), 3)
    assert health.complaint() is None


class TestTriggers:
    """Which events lead to which keys."""

    def triggers(self) -> tuple[Triggers, list[Key]]:
        added: list[Key] = []
        return Triggers(knowledge_of(), added.append), added

    def test_a_new_generation_of_a_resource_is_looked_at_and_our_own_status_is_not(self) -> None:
        triggers, added = self.triggers()
        for generation in (1, 1, 2):
            triggers.on_resource(PUBLISHER, WatchEvent("publishers", deleted=False, obj=resource(generation)))
        assert added == [ORDERS, ORDERS]

    def test_a_deleted_resource_is_looked_at(self) -> None:
        triggers, added = self.triggers()
        triggers.on_resource(PUBLISHER, WatchEvent("publishers", deleted=True, obj=resource()))
        assert added == [ORDERS]

    def test_a_change_of_our_deployment_leads_to_its_resource(self) -> None:
        triggers, added = self.triggers()
        for deleted in (False, True):
            triggers.on_deployment(WatchEvent("deployments", deleted=deleted, obj=owned()))
        assert added == [ORDERS, ORDERS]

    def test_a_change_of_a_followed_deployment_leads_to_its_followers(self) -> None:
        triggers, added = self.triggers()
        follower = resource(workloadRef={"name": "web"})
        triggers.on_resource(PUBLISHER, WatchEvent("publishers", deleted=False, obj=follower))
        added.clear()
        web = workload()
        triggers.on_deployment(WatchEvent("deployments", deleted=False, obj=web))
        triggers.on_deployment(WatchEvent("deployments", deleted=False, obj=web))
        assert added == [ORDERS]

    def test_who_follows_somebody_else_now_is_left_alone(self) -> None:
        triggers, added = self.triggers()
        for name in ("web", "api"):
            obj = resource(workloadRef={"name": name})
            triggers.on_resource(PUBLISHER, WatchEvent("publishers", deleted=False, obj=obj))
        added.clear()
        triggers.on_deployment(WatchEvent("deployments", deleted=False, obj=workload()))
        assert added == []

    def test_a_deployment_of_nobody_leads_nowhere(self) -> None:
        triggers, added = self.triggers()
        triggers.on_deployment(WatchEvent("deployments", deleted=False, obj=workload()))
        assert added == []
