"""An HTTP proxy in front of an API server that refuses, cuts and silences: `with ApiProxy(server) as proxy:`.

It speaks HTTP with its client and asks the API server as the admin, so it can tell a watch from a list and answer in
the server's place. `proxy.py` breaks connections without looking into them. Everything may be called from any thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from tests.rig.apiserver import ApiServer

_REASONS = {409: "Conflict", 429: "TooManyRequests", 503: "ServiceUnavailable"}
_OF_ONE_CONNECTION = frozenset({"connection", "host", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True)
class Asked:
    """A request. ``at`` is on the monotonic clock."""

    at: float
    verb: str
    path: str
    is_watch: bool


@dataclass
class Refusal:
    """What the proxy answers itself, and the requests that it answered so."""

    concerns: Callable[[Asked], bool]
    status: int
    times: float
    retry_after: int | None
    refused: list[Asked]


@dataclass(eq=False)
class _Passing:
    """A request that is being passed on, and the API server's answer as soon as it begins."""

    request: web.Request
    is_watch: bool
    answer: aiohttp.ClientResponse | None = None

    def abort(self) -> bool:
        """Reset both connections; return whether the client was still there."""
        ends = [self.request.transport]
        if self.answer is not None and self.answer.connection is not None:
            ends.append(self.answer.connection.transport)
        for transport in ends:
            if transport is not None:
                transport.abort()
        return ends[0] is not None


class ApiProxy:
    """One way to one API server."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="api-proxy", daemon=True)
        self._refusals: list[Refusal] = []
        self._passing: list[_Passing] = []
        self._silent = False
        self._stopping = False
        self.asked: list[Asked] = []
        self.url: str

    def __enter__(self) -> ApiProxy:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_exc: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def kubeconfig(self, user: str) -> Path:
        """A kubeconfig that leads through the proxy; whatever the user is, the admin asks."""
        return self._server.identity(user, server=self.url)

    def refuse(
        self,
        concerns: Callable[[Asked], bool],
        status: int,
        *,
        times: float = float("inf"),
        retry_after: int | None = None,
    ) -> Refusal:
        """Answer such requests with this status, so many times; `retry_after` is in seconds."""
        refusal = Refusal(concerns, status, times, retry_after, [])
        self._refusals.append(refusal)
        return refusal

    def cut_watches(self) -> int:
        """Reset the connections of all watches; return how many there were."""
        return int(self._call(self._cut()))

    def silence_watches(self) -> None:
        """From now on let watches be opened and stay open, and deliver nothing: no change, no bookmark."""
        self._silent = True

    async def _start(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._server.tls, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        application = web.Application(client_max_size=16 * 1024**2)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await self._site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        # No handler is cancelled: the connection that its request waits on could stay open until it is collected.
        self._stopping = True
        await self._site.stop()
        while self._passing:
            for passing in self._passing:
                passing.abort()
            await asyncio.sleep(0.01)
        await _settle()
        await self._session.close()
        await self._runner.cleanup()
        await _settle()

    async def _cut(self) -> int:
        return sum([passing.abort() for passing in self._passing if passing.is_watch])

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(time.monotonic(), request.method, request.path, "watch" in request.query)
        self.asked.append(asked)
        for refusal in self._refusals:
            if len(refusal.refused) < refusal.times and refusal.concerns(asked):
                refusal.refused.append(asked)
                return _refused(refusal)
        if self._stopping:
            return web.Response(status=503, text="the proxy is stopping")
        passing = _Passing(request, asked.is_watch)
        self._passing.append(passing)
        try:
            return await self._pass_on(passing)
        finally:
            self._passing.remove(passing)

    async def _pass_on(self, passing: _Passing) -> web.StreamResponse:
        request = passing.request
        place = URL(self._server.url + request.raw_path, encoded=True)
        sent = _forwarded(request.headers)
        try:
            async with self._session.request(
                request.method, place, headers=sent, data=await request.read() or None
            ) as passing.answer:
                return await self._deliver(passing, passing.answer)
        except (aiohttp.ClientError, ConnectionError) as error:
            return web.Response(status=502, text=f"the API server did not answer: {error!r}")

    async def _deliver(self, passing: _Passing, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
        await response.prepare(passing.request)
        try:
            async for chunk in answer.content.iter_any():
                if not (passing.is_watch and self._silent):
                    await response.write(chunk)
        except (aiohttp.ClientError, ConnectionError):
            passing.abort()
        return response

    def _call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


async def _settle() -> None:
    """Let the loop finish what it began: to accept a connection takes it a few turns, to close one as well."""
    for _ in range(20):
        await asyncio.sleep(0)


def _refused(refusal: Refusal) -> web.Response:
    reason = _REASONS[refusal.status]
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": refusal.status}
    headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
    return web.json_response(
        {**status, "message": f"refused on purpose: {reason}"}, status=refusal.status, headers=headers
    )


def _forwarded(headers: Any) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in _OF_ONE_CONNECTION}
