"""Answers of the API server become our errors, and no error of the client library gets out."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import aiohttp
import pytest
from kubernetes.aio.client.exceptions import ApiException

from outbox_operator.build.child import SCALED_OBJECT
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
from outbox_operator.kube import DEPLOYMENTS, SECRETS, Api, Type, type_of_child
from outbox_operator.preview.online import Rehearsal

DEPLOYMENT = {"metadata": {"namespace": "shop", "name": "orders-pub"}}


class Response:
    def __init__(self, status: int, body: Any, headers: dict[str, str]) -> None:
        self.status, self.headers = status, headers
        self._data = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def read(self) -> bytes:
        return self._data


class Client:
    """Plays the client library: gives the prepared answers one after another."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []

    async def param_serialize(
        self, verb: str, url: str, *, header_params: dict[str, str], **_: Any
    ) -> tuple[str, str, dict[str, str], None, list[Any]]:
        self.headers.append(header_params)
        return verb, url, header_params, None, []

    async def call_api(self, verb: str, url: str, headers: dict[str, str], body: Any) -> Response:
        self.requests.append((verb, url))
        self.bodies.append(body)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is asyncio.sleep:
            await asyncio.sleep(60)
        status, body, *headers = answer
        return Response(status, body, headers[0] if headers else {})


def api(*answers: Any) -> tuple[Api, Client]:
    client = Client(*answers)
    return Api(client), client  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidError),
        (401, DeniedError),
        (403, DeniedError),
        (404, GoneError),
        (409, ConflictError),
        (422, InvalidError),
        (429, UnreachableError),
        (503, UnreachableError),
    ],
)
async def test_each_answer_has_its_error_with_the_words_of_the_server(status: int, error: type[KubeError]) -> None:
    found, _ = api((status, {"message": "the words"}))
    with pytest.raises(error, match="the words"):
        await found.patch(DEPLOYMENTS, DEPLOYMENT)


async def test_reading_what_does_not_exist_gives_none() -> None:
    found, _ = api((404, {"message": "not found"}))
    assert await found.get(DEPLOYMENTS, "shop", "orders-pub") is None


@pytest.mark.parametrize(
    "answer",
    [b"404 page not found\n", {"message": "the server could not find the requested resource", "details": {}}],
    ids=["no such group", "no such kind in the group"],
)
async def test_a_kind_that_is_not_installed_is_told_from_an_object_that_does_not_exist(answer: Any) -> None:
    found, _ = api((404, answer), (404, {"message": "not found", "details": {"name": "orders-pub"}}))
    with pytest.raises(UnknownKindError):
        await found.get_of_known_kind(DEPLOYMENTS, "shop", "orders-pub")
    assert await found.get_of_known_kind(DEPLOYMENTS, "shop", "orders-pub") is None


async def test_deleting_names_the_very_object_and_one_that_is_gone_is_no_error() -> None:
    found, client = api((200, {}), (404, {"details": {"name": "orders-pub"}}), (409, {"message": "another uid"}))
    obj = {"metadata": {**DEPLOYMENT["metadata"], "uid": "u"}}
    await found.delete(DEPLOYMENTS, obj)
    await found.delete(DEPLOYMENTS, obj)
    with pytest.raises(ConflictError, match="another uid"):
        await found.delete(DEPLOYMENTS, obj)
    assert client.requests[0] == ("DELETE", "/apis/apps/v1/namespaces/shop/deployments/orders-pub")
    assert client.bodies[0]["preconditions"] == {"uid": "u"}


@pytest.mark.parametrize(
    "trouble",
    [aiohttp.ClientConnectionError("refused"), TimeoutError(), OSError("broken"), ApiException(status=0, reason="x")],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_no_error_of_the_client_gets_out(trouble: Exception) -> None:
    found, _ = api(trouble)
    with pytest.raises(UnreachableError) as error:
        await found.get(DEPLOYMENTS, "shop", "orders-pub")
    assert error.value.__cause__ is trouble


async def test_an_answer_that_never_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox_operator.kube.api.REQUEST_SECONDS", 0.01)
    found, _ = api(asyncio.sleep)
    with pytest.raises(UnreachableError, match="no answer"):
        await found.get(DEPLOYMENTS, "shop", "orders-pub")


async def test_the_server_may_say_how_long_to_wait() -> None:
    found, _ = api((429, {"message": "slow down"}, {"Retry-After": "7"}))
    with pytest.raises(UnreachableError) as error:
        await found.get(DEPLOYMENTS, "shop", "orders-pub")
    assert error.value.retry_after == 7


async def test_an_answer_of_a_proxy_that_is_no_json_is_told_as_it_is() -> None:
    found, _ = api((502, b"<html>bad gateway</html>"))
    with pytest.raises(UnreachableError, match="bad gateway"):
        await found.get(DEPLOYMENTS, "shop", "orders-pub")


async def test_a_long_list_is_read_page_by_page() -> None:
    named = {"apiVersion": "apps/v1", "kind": "DeploymentList"}
    pages = [{"items": [{"n": 1}], "metadata": {"continue": "next"}}, {"items": [{"n": 2}], "metadata": {}}]
    found, client = api(*((200, {**named, **page}) for page in pages))
    assert await found.list(DEPLOYMENTS, None) == [
        {"apiVersion": "apps/v1", "kind": "Deployment", "n": number} for number in (1, 2)
    ]
    assert client.requests[1] == ("GET", "/apis/apps/v1/deployments?limit=500&continue=next")


async def test_a_list_without_content_may_be_empty_in_two_ways() -> None:
    found, client = api((200, {"items": None, "metadata": {}}), (200, {"items": [], "metadata": {}}))
    assert await found.list(DEPLOYMENTS, None, metadata_only=True) == []
    assert await found.list(DEPLOYMENTS, None, metadata_only=True) == []
    assert "PartialObjectMetadataList" in client.headers[0]["Accept"]


async def test_a_list_without_content_comes_without_the_records_of_field_managers_too() -> None:
    metadata = {"name": "a", "generation": 2}
    item = {"kind": "PartialObjectMetadata", "metadata": {**metadata, "managedFields": [{"manager": "kubectl"}]}}
    found, _ = api((200, {"items": [item], "metadata": {}}), (200, {"items": [item], "metadata": {}}))
    (bare,) = await found.list(DEPLOYMENTS, None, metadata_only=True)
    assert bare["metadata"] == metadata
    (whole,) = await found.list(DEPLOYMENTS, None)
    assert whole["metadata"] == item["metadata"]
    assert gc.isenabled()


async def test_an_object_that_cannot_be_decoded_is_told_from_a_failing_server() -> None:
    failing = (500, {"message": "unable to convert"})
    found, _ = api(failing, (400, {"message": "quantities must match"}))
    with pytest.raises(InvalidError, match="quantities must match"):
        await found.apply(DEPLOYMENTS, DEPLOYMENT)
    found, _ = api(failing, (409, {"message": "exists"}))
    with pytest.raises(FailedError, match="unable to convert"):
        await found.apply(DEPLOYMENTS, DEPLOYMENT)


async def test_applying_names_our_field_manager_and_takes_fields_over() -> None:
    found, client = api((200, {}), (200, {}))
    await found.apply(DEPLOYMENTS, DEPLOYMENT)
    await found.apply(DEPLOYMENTS, DEPLOYMENT, dry_run=True)
    path = "/apis/apps/v1/namespaces/shop/deployments/orders-pub?fieldManager=outbox-operator&force=true"
    assert client.requests == [("PATCH", path), ("PATCH", f"{path}&dryRun=All")]


def test_names_are_quoted_in_paths() -> None:
    assert Type("", "v1", "secrets").path("shop", "a/../b") == "/api/v1/namespaces/shop/secrets/a%2F..%2Fb"


async def test_an_object_that_is_too_large_to_be_stored_is_refused_although_the_answer_blames_the_server() -> None:
    found, _ = api((500, {"message": "etcdserver: request is too large"}))
    with pytest.raises(InvalidError, match="too large to be stored"):
        await found.apply(DEPLOYMENTS, DEPLOYMENT)


async def test_without_the_lead_nothing_is_written_and_reading_goes_on() -> None:
    found, client = api((200, {}))
    found.may_write = lambda: False
    for request in (found.apply(DEPLOYMENTS, DEPLOYMENT), found.create(DEPLOYMENTS, DEPLOYMENT)):
        with pytest.raises(DeniedError, match="not sent"):
            await request
    assert await found.get(DEPLOYMENTS, "shop", "orders-pub") == {}
    assert [verb for verb, _ in client.requests] == ["GET"]


async def test_the_version_of_an_object_is_asked_for_without_its_content() -> None:
    found, client = api((200, {"metadata": {"resourceVersion": "7"}}), (404, {"message": "no"}))
    assert await found.version(SECRETS, "shop", "env") == "7"
    assert await found.version(SECRETS, "shop", "env") is None
    assert "PartialObjectMetadata" in client.headers[0]["Accept"]


def test_a_rehearsal_goes_on_without_what_it_may_not_read_and_notes_the_servers_words() -> None:
    forbidden = (403, {"message": "secrets are forbidden"})
    client = Client(forbidden, forbidden, forbidden)
    rehearsal = Rehearsal(client)  # type: ignore[arg-type]
    assert asyncio.run(rehearsal.get(SECRETS, "shop", "env")) == {"metadata": {"resourceVersion": ""}}
    scaled_objects = type_of_child(SCALED_OBJECT)
    with pytest.raises(UnknownKindError):
        asyncio.run(rehearsal.get_of_known_kind(scaled_objects, "shop", "orders-pub"))
    with pytest.raises(DeniedError):
        asyncio.run(rehearsal.get(DEPLOYMENTS, "shop", "orders-pub"))
    assert list(rehearsal.denied) == [(SECRETS, "shop", "env"), (scaled_objects, "shop", "orders-pub")]
    assert all("secrets are forbidden" in words for words in rehearsal.denied.values())
