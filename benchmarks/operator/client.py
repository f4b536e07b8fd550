"""What a user's program does to the cluster: a plain asynchronous client, a watch, the API server's own counters."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from kubernetes.aio import client, config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

GROUP: Final = "djangooutbox.io"
VERSION: Final = "v1alpha1"
CONCURRENCY: Final = 32
"""Requests under way at the same time; more made the plain client no quicker."""
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"})
_COUNTED: Final = ("deployments", "subscriptions", "publishers", "events", "secrets", "configmaps")
_SAMPLE: Final = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


class Client:
    """The official asynchronous client, used as its documentation shows."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self._apps = client.AppsV1Api(api)
        self._core = client.CoreV1Api(api)
        self._custom = client.CustomObjectsApi(api)

    async def create_namespace(self) -> None:
        await self._core.create_namespace({"metadata": {"name": self._namespace}})

    async def create_secret(self, name: str, data: dict[str, str]) -> None:
        await self._core.create_namespaced_secret(self._namespace, {"metadata": {"name": name}, "stringData": data})

    async def create_deployments(self, deployments: Iterable[dict[str, Any]]) -> None:
        async def create(body: dict[str, Any]) -> None:
            await self._apps.create_namespaced_deployment(self._namespace, body)

        await _side_by_side(create, deployments)

    async def create_subscriptions(self, subscriptions: Iterable[dict[str, Any]]) -> None:
        async def create(body: dict[str, Any]) -> None:
            await self._custom.create_namespaced_custom_object(GROUP, VERSION, self._namespace, "subscriptions", body)

        await _side_by_side(create, subscriptions)

    async def report_as_running(self, deployments: Iterable[dict[str, Any]]) -> None:
        """Play the Deployment controller and the kubelet: every worker is there and available."""

        async def report(deployment: dict[str, Any]) -> None:
            metadata, wanted = deployment["metadata"], deployment["spec"]["replicas"]
            counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
            status = {"observedGeneration": metadata["generation"], **dict.fromkeys(counts, wanted)}
            await self._apps.patch_namespaced_deployment_status(metadata["name"], self._namespace, {"status": status})

        await _side_by_side(report, deployments)

    async def set_image(self, name: str, image: str) -> None:
        """Edit a Deployment as `kubectl set image` does."""
        containers = [{"name": "worker", "image": image}]
        body = {"spec": {"template": {"spec": {"containers": containers}}}}
        await self._apps.patch_namespaced_deployment(name, self._namespace, body)

    async def deployments(self) -> list[dict[str, Any]]:
        return await self._list(f"/apis/apps/v1/namespaces/{self._namespace}/deployments")

    async def subscriptions(self) -> list[dict[str, Any]]:
        return await self._list(f"/apis/{GROUP}/{VERSION}/namespaces/{self._namespace}/subscriptions")

    async def delete_all(self) -> None:
        await self._custom.delete_collection_namespaced_custom_object(GROUP, VERSION, self._namespace, "subscriptions")
        await self._apps.delete_collection_namespaced_deployment(self._namespace)
        await self._core.delete_collection_namespaced_event(self._namespace)

    async def writes(self) -> Counter[str]:
        """Return how many writes the API server has served, by verb and resource; dry runs do not count."""
        counts: Counter[str] = Counter()
        for line in (await self._text("/metrics")).splitlines():
            sample = _SAMPLE.match(line)
            if sample is None:
                continue
            labels = dict(_LABEL.findall(sample[1]))
            if labels["verb"] in _WRITES and labels["resource"] in _COUNTED and not labels["dry_run"]:
                counts[f"{labels['verb']} {labels['resource']}"] += int(float(sample[2]))
        return counts

    async def watch_deployments(self) -> AsyncIterator[dict[str, Any]]:
        """Yield every change of the namespace's Deployments, beginning with those that are there."""
        path = f"/apis/apps/v1/namespaces/{self._namespace}/deployments?watch=1&resourceVersion=0"
        response = await self._call(path)
        async for line in response.response.content:
            event = json.loads(line)
            if event["type"] == "ERROR":
                raise RuntimeError(f"the watch of Deployments ends: {event['object']}")
            yield event["object"]

    async def _list(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(await self._text(path))["items"]
        return found

    async def _text(self, path: str) -> str:
        data: bytes = await (await self._call(path)).read()
        return data.decode()

    async def _call(self, path: str) -> Any:
        request = await self._api.param_serialize("GET", path, header_params={"Accept": "*/*"})
        return await self._api.call_api(*request)


@asynccontextmanager
async def connected(kubeconfig: Path, namespace: str) -> AsyncIterator[Client]:
    """Connect as the kubeconfig says."""
    configuration = client.Configuration()
    await config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    async with client.ApiClient(configuration) as api:
        yield Client(api, namespace)


async def _side_by_side(request: Callable[[dict[str, Any]], Awaitable[None]], bodies: Iterable[dict[str, Any]]) -> None:
    waiting = iter(list(bodies))

    async def work() -> None:
        for body in waiting:
            await request(body)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work())
