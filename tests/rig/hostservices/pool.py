"""Servers of one test run, started on demand and side by side: a JVM and an Erlang VM take seconds each to come up."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from tests.rig.hostservices.common import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.rig.hostservices.common import Server

_Opened = tuple[Any, AbstractContextManager[Any]]


class ServerPool:
    """Starts each server of `kinds` once, when it is first wanted; `begin` starts several without waiting."""

    def __init__(self, kinds: Mapping[str, type[Server]]) -> None:
        self._kinds = kinds
        # More at once than processors gains nothing and makes each of them later.
        self._starters = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2), thread_name_prefix="server")
        self._servers: dict[str, Future[_Opened]] = {}

    def begin(self, names: Iterable[str]) -> None:
        """Start these servers in the background."""
        for name in names:
            if name in self._kinds and name not in self._servers:
                self._servers[name] = self._starters.submit(self._open, self._kinds[name])

    def get(self, name: str) -> Any:
        """Return the started server; raises what its start raised."""
        self.begin([name])
        return self._servers[name].result()[0]

    def close(self) -> None:
        """End all that were started, side by side."""
        for opening in list(self._servers.values()):
            self._starters.submit(self._close, opening)
        self._starters.shutdown(wait=True)

    @staticmethod
    def _open(kind: type[Server]) -> _Opened:
        service = serving(kind)
        return service.__enter__(), service

    @staticmethod
    def _close(opening: Future[_Opened]) -> None:
        if opening.exception() is None:
            opening.result()[1].__exit__(None, None, None)
