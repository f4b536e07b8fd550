"""The headers a message carries: its id, where it goes, when it was written and what it belongs to.

Made once, when the row is written (``models.Published``), and stored with it: what the row says is what is sent.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.module_loading import import_string

from django_outbox import correlation, settings, tracing
from django_outbox.tracecontext import without_malformed

if TYPE_CHECKING:
    from django_outbox.models import Published

# A caller that has a correlation id knows better; every other header of ours tells the truth about the row.
_CALLER_WINS = frozenset({"dop-correlation-id"})


def generate_headers(message: Published) -> dict[str, Any]:
    """Return the headers of a new message; the project may name another function in ``DEFAULT_GENERATE_HEADERS``."""
    return {
        "dop-msg-id": str(message.id),
        "dop-msg-destination": message.destination,
        "dop-msg-type": type(message).__name__,
        "dop-msg-sent-time": timezone.now(),
        "dop-correlation-id": correlation.current() or uuid.uuid4(),
    }


def get_message_headers(published: Published) -> dict[str, Any]:
    """Return what to store with the row: the caller's headers and ours, of which only the correlation id may differ.

    Trace context is the caller's where it gives a ``traceparent``, else that of the work at hand.
    """
    ours = import_string(settings.DEFAULT_GENERATE_HEADERS)(published)
    callers = published.headers or {}
    if published.key is not None:
        ours = {**ours, "dop-msg-key": published.key}
    merged = {**ours, **callers, **{name: value for name, value in ours.items() if name not in _CALLER_WINS}}
    if settings.TRACE_CONTEXT:
        given = without_malformed(merged)
        # A tracestate belongs to its traceparent: they come from one source.
        merged = given if "traceparent" in given else {**tracing.outgoing(), **given}
    return dict(json.loads(json.dumps(merged, cls=DjangoJSONEncoder)))
