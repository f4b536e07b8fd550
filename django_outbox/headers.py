"""The headers a message carries: its id, where it goes, when it was written and what it belongs to.

Made once, when the row is written (``models.Published``), and stored with it: what the row says is what is sent.
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.module_loading import import_string

from django_outbox import correlation, settings, tracing
from django_outbox.ids import uuid4
from django_outbox.tracecontext import without_malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.models import Published

# JSON changes nothing about these.
_PLAIN = frozenset({str, int, bool, type(None)})
_encoder = DjangoJSONEncoder()

# A caller that has a correlation id knows better; every other header of ours tells the truth about the row.
_CALLER_WINS = frozenset({"dop-correlation-id"})


def generate_headers(message: Published) -> dict[str, Any]:
    """Return the headers of a new message; the project may name another function in ``DEFAULT_GENERATE_HEADERS``."""
    return {
        "dop-msg-id": str(message.id),
        "dop-msg-destination": message.destination,
        "dop-msg-type": type(message).__name__,
        "dop-msg-sent-time": timezone.now(),
        "dop-correlation-id": correlation.current() or uuid4(),
    }


def get_message_headers(published: Published) -> dict[str, Any]:
    """Return what to store with the row: the caller's headers and ours, of which only the correlation id may differ.

    Trace context is the caller's where it gives a ``traceparent``, else that of the work at hand.
    """
    return headers_maker()(published)


def headers_maker() -> Callable[[Published], dict[str, Any]]:
    """Return ``get_message_headers`` for many rows that are written now: what they have in common is found once."""
    generate = import_string(settings.DEFAULT_GENERATE_HEADERS)
    carried = tracing.outgoing() if settings.TRACE_CONTEXT else None
    return partial(_headers, generate, carried)


def _headers(
    generate: Callable[[Published], dict[str, Any]], carried: dict[str, str] | None, published: Published
) -> dict[str, Any]:
    ours = generate(published)
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
        return dict(json.loads(json.dumps(merged, cls=DjangoJSONEncoder)))
    return {name: value if type(value) in _PLAIN else _as_stored(value) for name, value in merged.items()}


def _as_stored(value: Any) -> Any:
    """Return a value as it comes back from the database."""
    if type(value) is uuid.UUID:
        return str(value)
    if type(value) is datetime:
        return _encoder.default(value)
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))
