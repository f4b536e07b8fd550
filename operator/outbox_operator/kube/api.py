"""Speak with the API server: plain dicts over the official asynchronous client, its errors turned into ours.

One connection pool for everything that is asked. Reading something that does not exist gives None; every other failure
is an error of `errors`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio.client.exceptions import ApiException

from outbox_operator import metrics
from outbox_operator.build.names import FIELD_MANAGER
from outbox_operator.errors import (
    ConflictError,
    DeniedError,
    FailedError,
    GoneError,
    UnknownKindError,
    UnreachableError,
)
from outbox_operator.kube.answers import Answer, error_of
from outbox_operator.kube.types import Type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubernetes.aio.client.api_client import ApiClient

    from outbox_operator.api.resource import Object

REQUEST_SECONDS: Final = 15.0
"""Deadline of one request; a hanging connection must not hold a key longer."""
_PAGE: Final = 500
"""Objects in one answer of a list."""
_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


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

    async def list(
        self, type_: Type, namespace: str | None, selector: str = "", *, metadata_only: bool = False
    ) -> list[Object]:
        """Return all objects of a type, of one namespace or of the cluster, page by page.

        On wish without content; then also without the records of field managers, which are most of what is left.
        """
        found: list[Object] = []
        query: dict[str, Any] = {"limit": _PAGE, **({"labelSelector": selector} if selector else {})}
        form = _METADATA_LIST if metadata_only else _JSON
        while True:
            answer = await self._request("GET", type_, type_.path(namespace), query, content_type=form)
            # What the items are is said once; an empty list of metadata is null.
            named = {"apiVersion": answer.get("apiVersion"), "kind": str(answer.get("kind", "")).removesuffix("List")}
            found += [{**named, **item} for item in answer["items"] or ()]
            query["continue"] = answer["metadata"].get("continue")
            if not query["continue"]:
                return found

    async def apply(
        self,
        type_: Type,
        obj: Mapping[str, Any],
        *,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
        force: bool = True,
    ) -> Object:
        """Apply an object server-side as a field manager, by default ours, and return the result.

        Raises:
            ConflictError: without `force`: somebody else has set one of its fields to something else.
        """
        metadata = obj["metadata"]
        query = {
            "fieldManager": manager,
            **({"force": "true"} if force else {}),
            **({"dryRun": "All"} if dry_run else {}),
        }
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
            raise error_of(f"{verb} {path}", status, text, headers)
        decode = _slim if content_type == _METADATA_LIST else json.loads
        answer: Object = decode(text)
        return answer

    async def _send(
        self, verb: str, url: str, body: Mapping[str, Any] | None, content_type: str
    ) -> tuple[int, str, Mapping[str, str]]:
        # Who sends nothing says by its type which form of the object is wanted.
        headers = {"Accept": _JSON if body else content_type, "Content-Type": content_type}
        # The body is no part of this: the client would walk through all of it to turn models into what it is already.
        request = await self.client.param_serialize(verb, url, header_params=headers, auth_settings=["BearerToken"])
        response = await self.client.call_api(*request[:3], body)
        data: bytes = await response.read()  # type: ignore[no-untyped-call]
        return response.status, data.decode(), response.headers


def _slim(text: str) -> Object:
    """Decode a list of metadata and drop what is recorded of field managers.

    These are a hundred containers an object, and none of them lives on: the collector is kept from looking for cycles
    in them, which takes longer than decoding them.
    """
    gc.disable()
    try:
        answer: Object = json.loads(text)
        for item in answer["items"] or ():
            item["metadata"].pop("managedFields", None)
    finally:
        gc.enable()
    return answer
