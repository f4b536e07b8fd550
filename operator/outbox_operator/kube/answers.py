"""Answers of the API server, and its refusals as our errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from outbox_operator.errors import (
    ConflictError,
    DeniedError,
    FailedError,
    GoneError,
    InvalidError,
    KubeError,
    UnknownKindError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox_operator.api.resource import Object

_TOO_LARGE: Final = ("request is too large", "message larger than max")
"""What etcd's refusals of large objects say; the API server hands them on as failures of its own."""


@dataclass(frozen=True)
class Answer:
    """What the API server said to a request that may be refused."""

    status: int
    headers: Mapping[str, str]
    obj: Object | None
    """None when the answer is no JSON object."""


def error_of(what: str, status: int, text: str, headers: Mapping[str, str]) -> KubeError:
    """Return the error that an answer of 400 and above is."""
    said = _message(text)
    if status in (401, 403):
        return DeniedError(f"{what}: {said}")
    if status == 404:
        return (GoneError if _names_an_object(text) else UnknownKindError)(f"{what}: {said}")
    if status == 409:
        return ConflictError(f"{what}: {said}")
    if status == 500:
        too_large = any(words in said for words in _TOO_LARGE)
        return InvalidError(f"{said}. It is too large to be stored") if too_large else FailedError(f"{what}: {said}")
    if status == 429 or status > 500:
        after = headers.get("Retry-After", "")
        return UnreachableError(f"{what}: {status} {said}", float(after) if after.isdigit() else None)
    return InvalidError(said)


def _names_an_object(text: str) -> bool:
    """Tell whether a 404 is about an object; one about its kind names none, or is no Status at all."""
    try:
        return bool(json.loads(text)["details"]["name"])
    except (ValueError, KeyError, TypeError):
        return False


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500] or "no message"
