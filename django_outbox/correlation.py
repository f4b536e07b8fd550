"""The correlation id of the work at hand: what ties a message to the request or the message that caused it.

The consumer binds the id of the message around its callback; ``headers.generate_headers`` puts it on each message
written meanwhile. Where ``request-id-django-log`` is installed its request id is read and, around a callback, set, so
that log records carry it.
"""

from __future__ import annotations

import importlib
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_correlation_id: ContextVar[str | None] = ContextVar("django_outbox_correlation_id", default=None)


def current() -> str | None:
    """Return the correlation id of the work at hand, None when it has none."""
    bound = _correlation_id.get()
    return bound if bound is not None else _request_id()


def bind(correlation_id: str | None) -> AbstractContextManager[None]:
    """Make ``correlation_id`` the current one within the block, in this thread or task only."""
    return _Bound(correlation_id)


class _Bound:
    # Not a generator: each message enters one, or two.
    def __init__(self, correlation_id: str | None) -> None:
        self._correlation_id = correlation_id
        self._request_local = getattr(_request_id_package(""), "local_threading", None)

    def __enter__(self) -> None:
        self._token = _correlation_id.set(self._correlation_id)
        if self._request_local is not None:
            self._request_local.request_id = self._correlation_id

    def __exit__(self, *_error: object) -> None:
        _correlation_id.reset(self._token)
        if self._request_local is not None:
            self._request_local.request_id = None


def _request_id() -> str | None:
    request_id, settings = _request_id_package(".request_id"), _request_id_package(".settings")
    if request_id is None:
        return None
    value = request_id.current_request_id()
    return str(value) if value and value != getattr(settings, "NO_REQUEST_ID", None) else None


@cache
def _request_id_package(submodule: str) -> Any:
    """Return a module of request-id-django-log, None where that package is not installed."""
    try:
        return importlib.import_module(f"request_id_django_log{submodule}")
    except ImportError:
        return None
