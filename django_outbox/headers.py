"""The headers a message carries: its id, where it goes, when it was written and what it belongs to.

Made once, when the row is written (``models.Published``), and stored with it: what the row says is what is sent.
"""

from __future__ import annotations

import json
import time
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.module_loading import import_string

from django_outbox import correlation, jsontext, settings, tracing
from django_outbox.ids import uuid4
from django_outbox.tracecontext import without_malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.models import Published

# JSON changes nothing about these.
_PLAIN = frozenset({str, int, bool, type(None)})
_encoder = DjangoJSONEncoder()
_write = jsontext.writer(DjangoJSONEncoder)

# A caller that has a correlation id knows better; every other header of ours tells the truth about the row.
_CALLER_WINS = frozenset({"dop-correlation-id"})


def generate_headers(message: Published) -> dict[str, Any]:
    """Return the headers of a new message; the project may name another function in ``DEFAULT_GENERATE_HEADERS``."""
    return _generated(message, timezone.now(), correlation.current() or uuid4())


def get_message_headers(published: Published) -> dict[str, Any]:
    """Return what to store with the row: the caller's headers and ours, of which only the correlation id may differ.

    Trace context is the caller's where it gives a ``traceparent``, else that of the work at hand.
    """
    return headers_maker()(published)


def headers_maker() -> Callable[[Published], dict[str, Any]]:
    """Return ``get_message_headers`` for many rows that are written now: what they have in common is found once."""
    generate = import_string(settings.DEFAULT_GENERATE_HEADERS)
    carried = tracing.outgoing()
    if generate is not generate_headers:
        return lambda published: _merged(generate(published), published, carried)
    correlation_id, stamp = correlation.current(), _Stamp()

    def make(published: Published) -> dict[str, Any]:
        ours = _generated(published, stamp.now(), str(correlation_id or uuid4()))
        if published.headers:
            return _merged(ours, published, carried)
        if published.key is not None:
            ours["dop-msg-key"] = published.key
        return {**carried, **ours} if carried else ours

    return make


def _generated(message: Published, now: Any, correlation_id: Any) -> dict[str, Any]:
    return {
        "dop-msg-id": str(message.id),
        "dop-msg-destination": message.destination,
        "dop-msg-type": type(message).__name__,
        "dop-msg-sent-time": now,
        "dop-correlation-id": correlation_id,
    }


class _Stamp:
    """The time it is as it is stored, to the millisecond: many rows are written in one."""

    def __init__(self) -> None:
        self._tick, self._text = -1, ""

    def now(self) -> str:
        tick = time.time_ns() // 1_000_000
        if tick != self._tick:
            self._tick, self._text = tick, _as_stored(timezone.now())
        return self._text


def _merged(ours: dict[str, Any], published: Published, carried: dict[str, str] | None) -> dict[str, Any]:
    """Return generated headers with the caller's and the trace's, as they come back from the database."""
    callers = published.headers or {}
    if published.key is not None:
        ours = {**ours, "dop-msg-key": published.key}
    merged = ours
    if callers:
        merged = {**ours, **callers, **{name: value for name, value in ours.items() if name not in _CALLER_WINS}}
    if carried is not None:
        given = without_malformed(merged)
        # A tracestate belongs to its traceparent: they come from one source.
        merged = given if "traceparent" in given else {**carried, **given}
    if {type(name) for name in merged} != {str}:
        return dict(json.loads(_write(merged)))
    return {name: value if type(value) in _PLAIN else _as_stored(value) for name, value in merged.items()}


def _as_stored(value: Any) -> Any:
    """Return a value as it comes back from the database."""
    if type(value) is uuid.UUID:
        return str(value)
    if type(value) is datetime:
        return _encoder.default(value)
    return json.loads(_write(value))
