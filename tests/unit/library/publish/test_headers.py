"""Headers are made when a message is written, and the caller's are kept."""

from __future__ import annotations

import sys
import threading
import types
import uuid
from typing import Any

import pytest
from django.test import override_settings

from django_outbox import correlation
from django_outbox.models import Published

pytestmark = pytest.mark.django_db


def _create(**values: Any) -> Published:
    return Published.objects.create(**{"destination": "/topic/a", "body": {}, **values})


def own_headers(message: Published) -> dict[str, Any]:
    """The function that a project may name."""
    return {"own-id": str(message.id), "kind": "own"}


def test_a_message_says_what_it_is_and_where_it_goes() -> None:
    message = _create(version="v1")
    assert message.headers["dop-msg-id"] == str(message.id)
    assert message.headers["dop-msg-destination"] == "/topic/a.v1"
    assert message.headers["dop-msg-type"] == "Published"
    assert message.headers["dop-msg-sent-time"][:2] == "20"
    assert uuid.UUID(message.headers["dop-correlation-id"])


def test_headers_of_the_caller_are_kept_and_ours_cannot_lie() -> None:
    message = _create(headers={"tenant": "a", "dop-correlation-id": "c-1", "dop-msg-id": "forged"})
    assert message.headers["tenant"] == "a"
    assert message.headers["dop-correlation-id"] == "c-1"
    assert message.headers["dop-msg-id"] == str(message.id)


def test_a_later_save_leaves_the_headers_as_they_were_sent() -> None:
    message = _create(headers={"tenant": "a"})
    before = dict(message.headers)
    message.status = 2
    message.save()
    message.refresh_from_db()
    assert message.headers == before


def test_a_message_read_from_the_database_and_saved_is_not_made_anew() -> None:
    made = _create(version="v1", headers={"tenant": "a"})
    read = Published.objects.get(pk=made.pk)
    read.retry = 1
    read.save()
    read.refresh_from_db()
    assert (read.destination, read.headers) == (made.destination, made.headers)


def test_a_project_may_make_its_own_headers() -> None:
    path = f"{__name__}.own_headers"
    with override_settings(DJANGO_OUTBOX_PATTERN={"DEFAULT_GENERATE_HEADERS": path}):
        message = _create(headers={"kind": "callers", "tenant": "a"})
    assert message.headers == {"own-id": str(message.id), "kind": "own", "tenant": "a"}


def test_a_bound_correlation_id_is_on_each_message_and_ends_with_the_block() -> None:
    with correlation.bind("request-7"):
        assert _create().headers["dop-correlation-id"] == "request-7"
    assert correlation.current() is None
    assert _create().headers["dop-correlation-id"] != "request-7"


def test_a_bound_correlation_id_is_not_seen_by_other_threads() -> None:
    seen: list[str | None] = []
    with correlation.bind("request-7"):
        thread = threading.Thread(target=lambda: seen.append(correlation.current()))
        thread.start()
        thread.join()
    assert seen == [None]


def test_the_request_id_of_request_id_django_log_is_used_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = types.ModuleType("request_id_django_log")
    package.local_threading = threading.local()  # type: ignore[attr-defined]
    request_id, its_settings = types.ModuleType("r"), types.ModuleType("s")
    request_id.current_request_id = lambda: getattr(package.local_threading, "request_id", "none")  # type: ignore[attr-defined]
    its_settings.NO_REQUEST_ID = "none"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "request_id_django_log", package)
    monkeypatch.setitem(sys.modules, "request_id_django_log.request_id", request_id)
    monkeypatch.setitem(sys.modules, "request_id_django_log.settings", its_settings)
    correlation._request_id_package.cache_clear()
    try:
        assert correlation.current() is None
        package.local_threading.request_id = "from-middleware"
        assert _create().headers["dop-correlation-id"] == "from-middleware"
        with correlation.bind("from-message"):
            assert package.local_threading.request_id == "from-message"
        assert package.local_threading.request_id is None
    finally:
        correlation._request_id_package.cache_clear()
