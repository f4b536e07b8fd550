"""HTTP for the cluster: /metrics, /healthz (restart me), /readyz (I can reach the API server)."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import web

from outbox_operator import metrics
from outbox_operator.errors import KubeError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox_operator.kube import Api

logger = logging.getLogger(__name__)

_READY_SECONDS: Final = 3.0
_EXPOSITION: Final = "text/plain; version=0.0.4; charset=utf-8"


class Server:
    """The operator's own port."""

    def __init__(self, api: Api, complaint: Callable[[], str | None]) -> None:
        self._api = api
        self._complaint = complaint
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)

    async def start(self, port: int) -> int:
        """Listen on all addresses and return the port.

        Raises:
            SettingsError: the port is taken.
        """
        await self._runner.setup()
        try:
            listener = _listen(port)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on port {port}: {error}. Set OUTBOX_OPERATOR_PORT to another"
            ) from error
        await web.SockSite(self._runner, listener).start()
        bound: int = listener.getsockname()[1]
        logger.info("serving /metrics, /healthz and /readyz on port %d", bound)
        return bound

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(), headers={"Content-Type": _EXPOSITION})

    async def _healthz(self, _: web.Request) -> web.Response:
        complaint = self._complaint()
        return web.Response(text=complaint or "ok", status=503 if complaint else 200)

    async def _readyz(self, _: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(_READY_SECONDS):
                await self._api.reachable()
        except (KubeError, TimeoutError) as error:
            return web.Response(text=f"the API server cannot be reached: {error}", status=503)
        return web.Response(text="ok")


def _listen(port: int) -> socket.socket:
    """Listen on IPv4 and IPv6 with one socket, so that port 0 gives the same free port for both."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))
