"""Speak with the API server: plain dicts over the official asynchronous client, its errors turned into ours.

One connection pool for everything that `observe`, `apply`, `events`, `resync` and `leader` ask. Reading something that
does not exist gives None; every other failure is an error of `errors`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import config as kube_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.exceptions import ApiException

from outbox_operator import metrics
from outbox_operator.api.resource import GROUP, VERSION, Kind, Object
from outbox_operator.build.names import FIELD_MANAGER
from outbox_operator.errors import (
    ConflictError,
    DeniedError,
    FailedError,
    GoneError,
    InvalidError,
    KubeError,
    UnknownKindError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubernetes.aio.client.api_client import ApiClient

    from outbox_operator.build.child import ChildKind
    from outbox_operator.build.references import ConfigName

REQUEST_SECONDS: Final = 15.0
"""Deadline of one request; a hanging connection must not hold a key longer."""
_PAGE: Final = 500
"""Objects in one answer of a list."""
_TOO_LARGE: Final = ("request is too large", "message larger than max")
"""What etcd's refusals of large objects say; the API server hands them on as failures of its own."""
_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Type:
    """A resource type as the API server's paths name it."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the path of an object, or of all of them."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part is not None]
        return "/".join(parts)


@dataclass(frozen=True)
class Answer:
    """What the API server said to a request that may be refused."""

    status: int
    headers: Mapping[str, str]
    obj: Object | None
    """None when the answer is no JSON object."""


DEPLOYMENTS: Final = Type("apps", "v1", "deployments")
PODS: Final = Type("", "v1", "pods")
SECRETS: Final = Type("", "v1", "secrets")
CONFIG_MAPS: Final = Type("", "v1", "configmaps")
EVENTS: Final = Type("", "v1", "events")


def type_of(kind: Kind) -> Type:
    """Return the resource type of one of our kinds."""
    return Type(GROUP, VERSION, kind.plural)


def type_of_child(kind: ChildKind) -> Type:
    """Return the resource type of a child."""
    return Type(kind.group, kind.version, kind.plural)


def type_of_config(name: ConfigName) -> Type:
    """Return the resource type of a Secret or a ConfigMap."""
    return SECRETS if name.kind == "Secret" else CONFIG_MAPS


async def load_configuration() -> Configuration:
    """Return how to reach the API server: the pod's ServiceAccount, else the kubeconfig.

    Raises:
        KubeError: neither is there.
    """
    configuration = Configuration()
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST") and not os.environ.get("KUBECONFIG"):
            kube_config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await kube_config.load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration, persist_config=False
            )
    except (kube_config.ConfigException, OSError) as error:
        raise KubeError(f"no way to the API server: {error}. Run in a pod, or set KUBECONFIG") from error
    # To respect proxies of the environment, aiohttp reads ~/.netrc anew for each request, in another thread.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
    return configuration


class Api:
    """The requests that the operator makes."""

    def __init__(self, client: ApiClient) -> None:
        self.client = client
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write: without the lead another replica may write already."""

    async def get(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object, or None when it or its kind does not exist."""
        try:
            return await self.get_of_known_kind(type_, namespace, name)
        except UnknownKindError:
            return None

    async def get_of_known_kind(self, type_: Type, namespace: str, name: str) -> Object | None:
        """Return an object, or None when it does not exist.

        Raises:
            UnknownKindError: the API server does not know such objects.
        """
        try:
            return await self._request("GET", type_, type_.path(namespace, name))
        except UnknownKindError:
            raise
        except GoneError:
            return None

    async def version(self, type_: Type, namespace: str, name: str) -> str | None:
        """Return the `resourceVersion` of an object, None when it does not exist; its content is not asked for."""
        try:
            found = await self._request("GET", type_, type_.path(namespace, name), content_type=_METADATA)
        except GoneError:
            return None
        version: str = found["metadata"]["resourceVersion"]
        return version

    async def list(self, type_: Type, namespace: str | None, selector: str = "") -> list[Object]:
        """Return all objects of a type, of one namespace or of the cluster, page by page."""
        found: list[Object] = []
        query: dict[str, Any] = {"limit": _PAGE, **({"labelSelector": selector} if selector else {})}
        while True:
            answer = await self._request("GET", type_, type_.path(namespace), query)
            found += answer["items"]
            query["continue"] = answer["metadata"].get("continue")
            if not query["continue"]:
                return found

    async def apply(
        self, type_: Type, obj: Mapping[str, Any], *, dry_run: bool = False, manager: str = FIELD_MANAGER
    ) -> Object:
        """Apply an object server-side as a field manager, by default ours, and return the result."""
        metadata = obj["metadata"]
        query = {"fieldManager": manager, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        path = type_.path(metadata["namespace"], metadata["name"])
        try:
            return await self._request("PATCH", type_, path, query, body=obj, content_type=_APPLY)
        except FailedError:
            await self._ask_whether_valid(type_, obj)
            raise

    async def _ask_whether_valid(self, type_: Type, obj: Mapping[str, Any]) -> None:
        """Raise InvalidError if an object cannot be decoded.

        Applying one that cannot (an unknown field, a quantity that is none) is answered with 500, as if the server were
        at fault; the dry run of a creation tells the difference.
        """
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "All", "fieldValidation": "Strict"}
        with contextlib.suppress(ConflictError):
            await self._request("POST", type_, type_.path(obj["metadata"]["namespace"]), query, body=obj)

    async def patch(self, type_: Type, obj: Mapping[str, Any], subresource: str | None = None) -> Object:
        """Merge a partial object, which names itself in its metadata, into the present one."""
        metadata = obj["metadata"]
        path = type_.path(metadata["namespace"], metadata["name"], subresource)
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("PATCH", type_, path, query, body=obj, content_type=_MERGE)

    async def create(self, type_: Type, obj: Mapping[str, Any]) -> Object:
        """Create an object."""
        path = type_.path(obj["metadata"]["namespace"])
        return await self._request("POST", type_, path, {"fieldManager": FIELD_MANAGER}, body=obj)

    async def delete(self, type_: Type, obj: Mapping[str, Any]) -> None:
        """Delete this very object; that it is gone already is no error.

        Raises:
            ConflictError: another object of the same name has taken its place.
        """
        metadata = obj["metadata"]
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"]}}
        with contextlib.suppress(GoneError):
            await self._request("DELETE", type_, type_.path(metadata["namespace"], metadata["name"]), body=options)

    async def ask(self, verb: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a request whose refusal is an answer too.

        Raises:
            UnreachableError: there is no answer.
        """
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                status, text, headers = await self._send(verb, path, body, _JSON)
        except (aiohttp.ClientError, ApiException, TimeoutError, OSError) as error:
            raise UnreachableError(f"{verb} {path}: no answer ({type(error).__name__}: {error})") from error
        try:
            obj = json.loads(text)
        except ValueError:
            obj = None
        return Answer(status, headers, obj if isinstance(obj, dict) else None)

    async def reachable(self) -> None:
        """Raise an error unless the API server answers."""
        await self._request("GET", Type("", "version", "version"), "/version")

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()  # type: ignore[no-untyped-call]

    async def _request(
        self,
        verb: str,
        type_: Type,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = _JSON,
    ) -> Object:
        used = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{path}?{urlencode(used)}" if used else path
        if verb != "GET" and not self.may_write():
            raise DeniedError(f"{verb} {path}: not sent, the lead may be another's by now")
        code = "none"
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                status, text, headers = await self._send(verb, url, body, content_type)
            code = str(status)
        except (aiohttp.ClientError, ApiException, TimeoutError, OSError) as error:
            raise UnreachableError(
                f"{verb} {path}: no answer from the API server ({type(error).__name__}: {error})"
            ) from error
        finally:
            metrics.API_REQUESTS.labels(verb, type_.plural, code).inc()
        if status >= 400:
            raise _error(f"{verb} {path}", status, text, headers)
        answer: Object = json.loads(text)
        return answer

    async def _send(
        self, verb: str, url: str, body: Mapping[str, Any] | None, content_type: str
    ) -> tuple[int, str, Mapping[str, str]]:
        # Who sends nothing says by its type which form of the object is wanted.
        headers = {"Accept": _JSON if body else content_type, "Content-Type": content_type}
        request = await self.client.param_serialize(
            verb, url, header_params=headers, body=body, auth_settings=["BearerToken"]
        )
        response = await self.client.call_api(*request)
        data: bytes = await response.read()  # type: ignore[no-untyped-call]
        return response.status, data.decode(), response.headers


def _error(what: str, status: int, text: str, headers: Mapping[str, str]) -> KubeError:
    said = _message(text)
    if status in (401, 403):
        return DeniedError(f"{what}: {said}")
    if status == 404:
        return (GoneError if _names_an_object(text) else UnknownKindError)(f"{what}: {said}")
    if status == 409:
        return ConflictError(f"{what}: {said}")
    if status == 500:
        too_large = any(words in said for words in _TOO_LARGE)
        return InvalidError(f"{said}. It is too large to be stored") if too_large else FailedError(f"{what}: {said}")
    if status == 429 or status > 500:
        after = headers.get("Retry-After", "")
        return UnreachableError(f"{what}: {status} {said}", float(after) if after.isdigit() else None)
    return InvalidError(said)


def _names_an_object(text: str) -> bool:
    """Tell whether a 404 is about an object; one about its kind names none, or is no Status at all."""
    try:
        return bool(json.loads(text)["details"]["name"])
    except (ValueError, KeyError, TypeError):
        return False


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500] or "no message"
