"""Copies of JSON values. `copy.deepcopy` takes several times as long: it has to expect anything."""

from __future__ import annotations

from typing import TypeVar, cast

_T = TypeVar("_T")


def copied(value: _T) -> _T:
    """Return a copy of a JSON value; nothing that can be changed is shared with it."""
    if isinstance(value, dict):
        return cast("_T", {name: copied(item) for name, item in value.items()})
    if isinstance(value, list):
        return cast("_T", [copied(item) for item in value])
    return value
