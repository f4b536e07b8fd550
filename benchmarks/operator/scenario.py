"""One run: the same Deployments by a plain client and by the operator, then idleness, edits and a restart."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.operator.client import Client, connected
from benchmarks.operator.process import cpu_seconds, peak_megabytes, resident_megabytes
from outbox_operator.api.parsing import parse
from outbox_operator.api.resource import KIND_BY_NAME
from outbox_operator.build.references import ConfigName
from outbox_operator.plan import Observed, plan
from tests.cluster.manifests import subscription
from tests.cluster.operator_process import OperatorProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.cluster.operator_process import Cluster

IMAGE: Final = "registry.example.com/shop:1"
SECRET: Final = {"DATABASE_URL": "postgres://shop", "OUTBOX_PASSWORD": "secret"}
DEADLINE_SECONDS: Final = 300.0
_RESYNC_SECONDS: Final = 60
"""The operator's default."""


@dataclass(frozen=True)
class Wish:
    """What to measure."""

    resources: int
    edits: int
    idle_seconds: float
    seed: int


@dataclass(frozen=True)
class Measured:
    """The figures of one run; seconds and MiB."""

    plain: float
    """The Deployments created by the plain client."""
    cold: float
    """From the operator's start, all Subscriptions being there, to the last Deployment."""
    cold_working: float
    """The same from the moment in which it begins to work; what is missing of `cold` is the start of the process."""
    applied: float
    """The Subscriptions created by the plain client while another operator runs and has seen none."""
    burst: float
    """From the first of these Subscriptions to the last of their Deployments."""
    ready: float
    """From the workers' being reported as available until every status says so."""
    memory: float
    memory_peak: float
    idle_writes: int
    idle_cpu_percent: float
    idle_requests_per_minute: float
    edit_median: float
    edit_p99: float
    edit_worst: float
    restart_seconds: float
    """From the restart until every resource has been looked at."""
    restart_writes: int
    requests_per_resource: float
    """All requests of the operator for a new resource, until it is ready."""

    @property
    def cold_ratio(self) -> float:
        return self.cold_working / self.plain

    @property
    def burst_ratio(self) -> float:
        return self.burst / self.plain

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "cold_ratio": self.cold_ratio, "burst_ratio": self.burst_ratio}


class Say:
    """Prints what goes on."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, words: str) -> None:
        print(f"  {time.monotonic() - self._began:6.1f} s  {words}", flush=True)


async def run(cluster: Cluster, folder: Path, wish: Wish, number: int) -> Measured:
    """Measure once, in namespaces of its own, and remove what was made."""
    say = Say()
    kubeconfig = cluster.server.kubeconfig
    names = [f"{what}-{number}" for what in ("plain", "cold", "burst")]
    async with connected(kubeconfig, names[0]) as client:
        plain = await _plain(client, wish)
        say(f"a plain client: {plain:.2f} s")
    cold, cold_working, cold_requests = await _cold(cluster, folder, names[1], wish)
    say(f"a cold start: {cold_working:.2f} s of work, {cold:.2f} s with the start of the process")
    async with connected(kubeconfig, names[2]) as client:
        await _prepare(client)
        async with _operator(cluster, folder, names[2]) as operator:
            figures = await _Stage(client, operator, wish, say).measure()
    return Measured(plain=plain, cold=cold, cold_working=cold_working, requests_per_resource=cold_requests, **figures)


async def _plain(client: Client, wish: Wish) -> float:
    await client.create_namespace()
    deployments = [_planned(name) for name in _names(wish)]
    began = time.monotonic()
    await client.create_deployments(deployments)
    took = time.monotonic() - began
    await client.delete_all()
    return took


async def _cold(cluster: Cluster, folder: Path, namespace: str, wish: Wish) -> tuple[float, float, float]:
    async with connected(cluster.server.kubeconfig, namespace) as client:
        await _prepare(client)
        await client.create_subscriptions(_manifests(wish))
        all_there = asyncio.create_task(_until_deployments(client, wish.resources))
        began = time.monotonic()
        async with _operator(cluster, folder, namespace) as operator:
            working = time.monotonic()
            ended = await all_there
            await client.report_as_running(await client.deployments())
            await _until("every Subscription is ready", lambda: _all_ready(client, wish))
            await _until_quiet(operator)
            requests = operator.metric("outbox_operator_api_requests_total") / wish.resources
        await client.delete_all()
    return ended - began, ended - working, requests


class _Stage:
    """An operator that has just begun to work, and nothing in its namespace yet."""

    def __init__(self, client: Client, operator: OperatorProcess, wish: Wish, say: Say) -> None:
        self._client, self._operator, self._wish, self._say = client, operator, wish, say

    async def measure(self) -> dict[str, Any]:
        burst = await self._burst()
        self._say(f"a burst: {burst}")
        idle = await self._idle()
        self._say(f"idle: {idle}")
        edits = await self._edits()
        self._say(f"edits: {edits}")
        restart = await self._restart()
        self._say(f"a restart: {restart}")
        await self._client.delete_all()
        return {**burst, **idle, **edits, **restart}

    async def _burst(self) -> dict[str, Any]:
        client, wish = self._client, self._wish
        all_there = asyncio.create_task(_until_deployments(client, wish.resources))
        began = time.monotonic()
        await client.create_subscriptions(_manifests(wish))
        applied = time.monotonic() - began
        ended = await all_there
        deployments = await client.deployments()
        reported = time.monotonic()
        await client.report_as_running(deployments)
        await _until("every Subscription is ready", lambda: _all_ready(client, wish))
        return {"applied": applied, "burst": ended - began, "ready": time.monotonic() - reported}

    async def _idle(self) -> dict[str, Any]:
        await _until_quiet(self._operator)
        pid = self._operator.pid
        writes, cpu, asked = await self._client.writes(), cpu_seconds(pid), self._requests()
        await asyncio.sleep(self._wish.idle_seconds)
        percent = (cpu_seconds(pid) - cpu) / self._wish.idle_seconds * 100
        written = (await self._client.writes() - writes).total()
        return {
            "memory": resident_megabytes(pid),
            "memory_peak": peak_megabytes(pid),
            "idle_writes": written,
            "idle_cpu_percent": percent,
            "idle_requests_per_minute": (self._requests() - asked) / self._wish.idle_seconds * 60,
        }

    async def _edits(self) -> dict[str, Any]:
        """Change the image of one Deployment after the other and wait until the operator has put it back."""
        chooser = random.Random(self._wish.seed)
        seconds = []
        watch = self._client.watch_deployments()
        for index in range(self._wish.edits):
            name = f"{chooser.choice(_names(self._wish))}-sub"
            began = time.monotonic()
            await self._client.set_image(name, f"evil:{index}")
            seconds.append(await _put_back(watch, name, f"evil:{index}") - began)
        seconds.sort()
        last = len(seconds) - 1
        return {
            "edit_median": seconds[last // 2],
            "edit_p99": seconds[round(last * 0.99)],
            "edit_worst": seconds[last],
        }

    async def _restart(self) -> dict[str, Any]:
        await self._client.report_as_running(await self._client.deployments())
        await _until("every Subscription is ready", lambda: _all_ready(self._client, self._wish))
        await _until_quiet(self._operator)
        await asyncio.to_thread(self._operator.stop)
        writes, began = await self._client.writes(), time.monotonic()
        await asyncio.to_thread(self._operator.start)

        async def looked_at_all() -> bool:
            looks = await asyncio.to_thread(self._operator.metric, "outbox_operator_reconciles_total")
            return looks >= self._wish.resources

        await _until("every resource has been looked at", looked_at_all)
        took = time.monotonic() - began
        await _until_quiet(self._operator)
        written = await self._client.writes() - writes
        return {"restart_seconds": took, "restart_writes": written.total()}

    def _requests(self) -> float:
        return self._operator.metric("outbox_operator_api_requests_total")


@asynccontextmanager
async def _operator(cluster: Cluster, folder: Path, namespace: str) -> AsyncIterator[OperatorProcess]:
    settings = {"resync_seconds": str(_RESYNC_SECONDS), "leader_election": "true"}
    operator = OperatorProcess(cluster, folder, namespace, pod_name=namespace, **settings)
    await asyncio.to_thread(operator.start)
    try:
        yield operator
    finally:
        if operator.is_alive():
            await asyncio.to_thread(operator.stop)


async def _prepare(client: Client) -> None:
    await client.create_namespace()
    await client.create_secret("shop-env", SECRET)


def _names(wish: Wish) -> list[str]:
    return [f"subscription-{number:04}" for number in range(wish.resources)]


def _manifest(name: str) -> dict[str, Any]:
    return subscription(name, image=IMAGE, queue=name, replicas=2, envFrom=[{"secretRef": {"name": "shop-env"}}])


def _manifests(wish: Wish) -> list[dict[str, Any]]:
    return [_manifest(name) for name in _names(wish)]


def _planned(name: str) -> dict[str, Any]:
    """Return the Deployment that the operator makes of a Subscription."""
    obj = _manifest(name)
    obj["metadata"] |= {"namespace": "plain", "uid": "00000000-0000-4000-8000-000000000000", "generation": 1}
    wanted = plan(
        parse(KIND_BY_NAME["Subscription"], obj), Observed(config={ConfigName("Secret", "shop-env"): SECRET})
    ).deployment
    if wanted is None:
        raise RuntimeError("a Subscription of which everything exists has no plan")
    # Its owner does not exist in this namespace.
    kept = {key: value for key, value in wanted["metadata"].items() if key not in ("namespace", "ownerReferences")}
    return {**wanted, "metadata": kept}


async def _until_deployments(client: Client, number: int) -> float:
    """Return the moment in which so many Deployments exist."""
    seen: set[str] = set()
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for deployment in client.watch_deployments():
            seen.add(deployment["metadata"]["uid"])
            if len(seen) == number:
                return time.monotonic()
    raise TimeoutError(f"{len(seen)} of {number} Deployments exist")


async def _put_back(watch: AsyncIterator[dict[str, Any]], name: str, image: str) -> float:
    """Return the moment in which a Deployment that had an image has it no more."""
    edited = False
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for deployment in watch:
            if deployment["metadata"]["name"] != name:
                continue
            now = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
            edited = edited or now == image
            if edited and now != image:
                return time.monotonic()
    raise TimeoutError(f"{name} was not put back")


async def _all_ready(client: Client, wish: Wish) -> bool:
    found = await client.subscriptions()
    ready = [item for item in found if _ready(item) == "True"]
    return len(ready) == wish.resources


def _ready(item: dict[str, Any]) -> str:
    conditions = item.get("status", {}).get("conditions", ())
    return next((found["status"] for found in conditions if found["type"] == "Ready"), "")


async def _until_quiet(operator: OperatorProcess) -> None:
    """Wait until the operator has done nothing for two seconds."""
    before = -1.0

    async def quiet() -> bool:
        nonlocal before
        names = ("outbox_operator_reconciles_total", "outbox_operator_api_requests_total")
        now = sum([await asyncio.to_thread(operator.metric, name) for name in names])
        same, before = now == before, now
        return same

    await _until("the operator is quiet", quiet, every=2.0)


async def _until(what: str, condition: Callable[[], Any], every: float = 0.5) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {DEADLINE_SECONDS:.0f} s")
        await asyncio.sleep(every)
