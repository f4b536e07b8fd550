"""What is done in which order: Deployments of new resources first, and no change decided from what may be outdated."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from outbox_operator.api.resource import PUBLISHER, Key
from outbox_operator.errors import ConflictError
from outbox_operator.kube import DEPLOYMENTS, Type, type_of
from outbox_operator.mirror import Mirror, snapshot
from outbox_operator.reading import Memory
from outbox_operator.reconcile import Reconciler
from outbox_operator.teller import Teller
from outbox_operator.workqueue import WorkQueue
from tests.unit.operator.objects import metadata

PUBLISHERS = type_of(PUBLISHER)


class FakeApi:
    """Holds objects and writes down what is asked of it."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.asked: list[str] = []
        self._versions = itertools.count(100)

    def put(self, type_: Type, obj: dict[str, Any]) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        known = self.objects.get((type_.plural, name), {"metadata": {"uid": f"{type_.plural}-{name}", "generation": 1}})
        version = {"resourceVersion": str(next(self._versions))}
        merged = {**known, **obj, "metadata": {**known["metadata"], **obj["metadata"], **version}}
        self.objects[type_.plural, name] = merged
        return merged

    async def get(self, type_: Type, namespace: str, name: str) -> Any:
        self.asked.append(f"get {type_.plural} {name}")
        await asyncio.sleep(0)
        return self.objects.get((type_.plural, name))

    get_of_known_kind = get

    async def apply(self, type_: Type, obj: dict[str, Any], *, dry_run: bool = False, force: bool = True) -> Any:
        name = obj["metadata"]["name"]
        self.asked.append(f"{'try' if dry_run else 'apply'} {type_.plural} {name}")
        await asyncio.sleep(0)
        live = self.objects.get((type_.plural, name))
        if not force and live is not None and live["spec"] != obj["spec"]:
            raise ConflictError("conflict with another field manager")
        return obj | {"metadata": {**(live or obj)["metadata"], **obj["metadata"]}} if dry_run else self.put(type_, obj)

    async def patch(self, type_: Type, obj: dict[str, Any], subresource: str | None = None) -> Any:
        self.asked.append(f"patch {type_.plural} {obj['metadata']['name']} {subresource or ''}".strip())
        await asyncio.sleep(0)
        return self.put(type_, obj)

    async def create(self, type_: Type, obj: dict[str, Any]) -> None:
        self.asked.append(f"event {obj['reason']} {obj['involvedObject']['name']}")


class Stage:
    """A reconciler whose memory has been filled by a list."""

    def __init__(self, *names: str) -> None:
        self.api = FakeApi()
        self.memory = Memory(self.api, Mirror())  # type: ignore[arg-type]
        self.memory.mirror.complete = True
        self.teller = Teller(self.api, "operator-1")  # type: ignore[arg-type]
        self.reconciler = Reconciler(self.memory, self.teller)
        self.keys = [Key(PUBLISHER, "shop", name) for name in names]
        for name in names:
            self.show(PUBLISHERS, {"metadata": metadata(name), "spec": {"image": "shop:1", "replicas": 2}})

    def show(self, type_: Type, obj: dict[str, Any]) -> dict[str, Any]:
        """Store an object and let the watch deliver it."""
        stored = self.api.put(type_, obj)
        self.memory.mirror.note(snapshot(type_.plural, stored))
        return stored

    async def handle(self, key: Key) -> None:
        """Handle a resource until it wants no immediate further pass."""
        while await self.reconciler(key) == 0.0:
            pass

    def asked(self) -> list[str]:
        found, self.api.asked = self.api.asked, []
        return found


async def test_the_deployments_of_all_new_resources_are_made_before_anything_else_is_done() -> None:
    stage = Stage("a", "b", "c")
    queue = WorkQueue(stage.reconciler, comes_first=stage.reconciler.is_new)
    for key in stage.keys:
        queue.add(key)
    task = asyncio.create_task(queue.work())
    async with asyncio.timeout(5):
        while sum(line.startswith("patch publishers") for line in stage.api.asked) < 3:
            await asyncio.sleep(0)
    task.cancel()
    order = stage.asked()
    assert order[:3] == [f"apply deployments {name}-pub" for name in "abc"]
    assert order[3:] == [
        line
        for name in "abc"
        for line in (
            f"get poddisruptionbudgets {name}-pub",
            f"apply poddisruptionbudgets {name}-pub",
            f"patch publishers {name} status",
        )
    ]


async def test_what_was_made_is_told_once_after_the_status() -> None:
    stage = Stage("a")
    for _ in range(2):
        await stage.handle(stage.keys[0])
    task = asyncio.create_task(stage.teller.run())
    await stage.teller.flush(5)
    task.cancel()
    told = [line for line in stage.asked() if line.startswith("event")]
    assert told == ["event CreatedDeployment a", "event CreatedPodDisruptionBudget a"]


async def test_a_resource_of_which_all_is_as_it_should_be_costs_no_request() -> None:
    stage = Stage("a")
    await stage.handle(stage.keys[0])
    stage.asked()
    await stage.handle(stage.keys[0])
    assert stage.asked() == []


async def test_a_look_that_is_due_although_no_event_came_asks_the_api_server(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("a")
    await stage.handle(stage.keys[0])
    stage.asked()
    later = time.monotonic() + 3600
    monkeypatch.setattr("outbox_operator.reconcile.time.monotonic", lambda: later)
    unseen = stage.api.objects["deployments", "a-pub"]
    stage.api.put(DEPLOYMENTS, {**unseen, "status": {"observedGeneration": 1, "replicas": 2}})
    monkeypatch.setattr("outbox_operator.reconcile.observe_pods", no_pods)
    await stage.handle(stage.keys[0])
    assert stage.asked()[-1] == "patch publishers a status"
    assert stage.api.objects["publishers", "a"]["status"]["replicas"] == 2


async def no_pods(*_: Any) -> tuple[()]:
    return ()


async def test_an_edit_is_put_back_after_everything_was_read_anew() -> None:
    stage = Stage("a")
    await stage.handle(stage.keys[0])
    stage.asked()
    edited = stage.api.objects["deployments", "a-pub"]
    stage.show(DEPLOYMENTS, {**edited, "spec": {**edited["spec"], "replicas": 9}})
    await stage.handle(stage.keys[0])
    asked = stage.asked()
    assert asked[:3] == ["get publishers a", "get deployments a-pub", "get poddisruptionbudgets a-pub"]
    assert asked[3:5] == ["try deployments a-pub", "apply deployments a-pub"]


async def test_an_edit_that_is_gone_again_by_the_time_it_is_looked_at_leads_to_no_write() -> None:
    stage = Stage("a")
    await stage.handle(stage.keys[0])
    stage.asked()
    as_it_should = stage.api.objects["deployments", "a-pub"]
    stage.show(DEPLOYMENTS, {**as_it_should, "spec": {**as_it_should["spec"], "replicas": 9}})
    stage.api.put(DEPLOYMENTS, as_it_should)
    await stage.handle(stage.keys[0])
    assert all(line.startswith("get") for line in stage.asked())


async def test_a_deployment_that_no_watch_has_shown_yet_and_is_not_ours_is_not_taken_over() -> None:
    stage = Stage("a")
    stage.api.put(DEPLOYMENTS, {"metadata": metadata("a-pub", labels={}), "spec": {"selector": {"matchLabels": {}}}})
    await stage.handle(stage.keys[0])
    stored = stage.api.objects["publishers", "a"]["status"]["conditions"]
    assert next(item["reason"] for item in stored if item["type"] == "Ready") == "NameConflict"
    assert stage.asked().count("apply deployments a-pub") == 1


async def test_after_a_failure_nothing_that_is_remembered_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage("a")
    await stage.handle(stage.keys[0])
    with monkeypatch.context() as patched:

        def fails(*_: Any) -> None:
            raise ConflictError("somebody was faster")

        patched.setattr("outbox_operator.reconcile.plan", fails)
        with pytest.raises(ConflictError):
            await stage.reconciler(stage.keys[0])
    stage.asked()
    await stage.handle(stage.keys[0])
    assert stage.asked()[0] == "get publishers a"
