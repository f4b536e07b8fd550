"""Messages as a test looks at them, and what it may say about them: pure.

``assertions.py`` reads the messages and raises; here it is decided which of them are meant and, where none is, what to
tell whoever reads the failure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

_SHOWN = 20
_BODY_SHOWN = 300


@dataclass(frozen=True)
class WrittenMessage:
    """One row of the outbox: ``destination`` with its version, ``body`` as JSON gives it back, ``headers``, its order
    ``key``, and the database alias ``using`` that it was written to.
    """

    id: UUID
    destination: str
    body: Any
    headers: Mapping[str, Any]
    using: str
    version: str | None = None
    key: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a test expects: None is anything. ``exact`` compares whole bodies, otherwise a mapping names a part."""

    destination: str | None = None
    body: Any = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False

    def objection(self, message: WrittenMessage) -> str | None:
        """Return why a message is not meant, None when it is."""
        if self.destination is not None and message.destination != self.destination:
            return f"destination is {message.destination!r}"
        if self.body is not None and (objection := _objection(plain(self.body), message.body, "body", self.exact)):
            return objection
        for name, value in plain(self.headers).items():
            if objection := _objection(value, message.headers.get(name, _MISSING), f"headers[{name!r}]", exact=True):
                return objection
        return None

    def __str__(self) -> str:
        parts = [] if self.destination is None else [f"to {self.destination!r}"]
        if self.body is not None:
            parts.append(f"with {'exactly ' if self.exact else ''}the body {_short(plain(self.body))}")
        if self.headers:
            parts.append(f"with the headers {_short(plain(self.headers))}")
        return " ".join(parts) or "of any kind"


class _Missing:
    def __repr__(self) -> str:
        return "missing"


_MISSING = _Missing()


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back, which is how rows hold it."""
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder))


def complaint(wanted: Wanted, count: int | None, messages: Sequence[WrittenMessage]) -> str:
    """Return the text of a failed assertion: what was expected, and what there was instead."""
    found = sum(1 for message in messages if wanted.objection(message) is None)
    number = "at least 1 message" if count is None else f"{count} message{'' if count == 1 else 's'}"
    lines = [f"Expected {number} {wanted}; found {found}."]
    if not messages:
        return f"{lines[0]} Nothing was published."
    lines.append(f"Published ({len(messages)}):")
    for position, message in enumerate(messages[:_SHOWN], start=1):
        objection = wanted.objection(message)
        lines.append(f"  {position}. {message.destination} {_short(message.body)}")
        lines.append(f"     {'matches' if objection is None else f'no match: {objection}'}")
    if len(messages) > _SHOWN:
        lines.append(f"  ... and {len(messages) - _SHOWN} more")
    return "\n".join(lines)


def _objection(expected: Any, actual: Any, path: str, exact: bool) -> str | None:
    if isinstance(expected, Mapping) and isinstance(actual, Mapping) and not exact:
        for name, value in expected.items():
            if objection := _objection(value, actual.get(name, _MISSING), f"{path}[{name!r}]", exact):
                return objection
        return None
    # 1 == True in Python, not in JSON.
    if expected == actual and isinstance(expected, bool) == isinstance(actual, bool):
        return None
    return f"{path} is {_short(actual)}, not {_short(expected)}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _BODY_SHOWN else f"{text[:_BODY_SHOWN]}..."
