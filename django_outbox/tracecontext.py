"""W3C trace context as it stands in headers: which values are well-formed. Pure, and without OpenTelemetry.

What is malformed is dropped, never an error: a message matters more than its trace. ``tracing.py`` carries the values
from the enqueuing code to the callback.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TRACEPARENT, TRACESTATE, BAGGAGE = "traceparent", "tracestate", "baggage"
HEADERS = (TRACEPARENT, TRACESTATE, BAGGAGE)
_NAMES = frozenset(HEADERS)

# The limits are those of the W3C recommendations.
_MAX_TRACESTATE = 512
_MAX_TRACESTATE_MEMBERS = 32
_MAX_BAGGAGE = 8192
_MAX_BAGGAGE_MEMBERS = 180

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?")
_STATE_KEY = r"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
_STATE_MEMBER = re.compile(rf"{_STATE_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # noqa: S105 - the word of RFC 7230 for a name
_SP = r"[ \t]*"
_BAGGAGE_VALUE = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*"
_BAGGAGE_MEMBER = re.compile(
    rf"{_SP}{_TOKEN}{_SP}={_SP}{_BAGGAGE_VALUE}{_SP}(?:;{_SP}{_TOKEN}{_SP}(?:={_SP}{_BAGGAGE_VALUE}{_SP})?)*"
)


def well_formed(headers: Mapping[str, Any]) -> dict[str, str]:
    """Return the trace headers among ``headers`` that are well-formed; ``tracestate`` only beside a ``traceparent``."""
    if _NAMES.isdisjoint(headers):
        return {}
    found = {name: headers[name] for name in HEADERS if _CHECKS[name](headers.get(name))}
    if TRACEPARENT not in found:
        found.pop(TRACESTATE, None)
    return found


def without_malformed(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers without those of the trace context that are malformed."""
    if _NAMES.isdisjoint(headers):
        return dict(headers)
    good = well_formed(headers)
    return {name: value for name, value in headers.items() if name not in HEADERS or name in good}


def _is_traceparent(value: Any) -> bool:
    match = _TRACEPARENT.fullmatch(value) if isinstance(value, str) else None
    # Later versions may say more; in this one there is no more to say.
    return match is not None and (match["more"] is None or not value.startswith("00"))


def _is_tracestate(value: Any) -> bool:
    if not isinstance(value, str) or len(value) > _MAX_TRACESTATE:
        return False
    members = [member.strip(" \t") for member in value.split(",")]
    filled = [member for member in members if member]
    keys = {member.partition("=")[0] for member in filled}
    return (
        0 < len(filled) <= _MAX_TRACESTATE_MEMBERS
        and len(keys) == len(filled)
        and all(_STATE_MEMBER.fullmatch(member) for member in filled)
    )


def _is_baggage(value: Any) -> bool:
    if not isinstance(value, str) or not value or len(value) > _MAX_BAGGAGE:
        return False
    members = value.split(",")
    return len(members) <= _MAX_BAGGAGE_MEMBERS and all(_BAGGAGE_MEMBER.fullmatch(member) for member in members)


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    TRACEPARENT: _is_traceparent,
    TRACESTATE: _is_tracestate,
    BAGGAGE: _is_baggage,
}
