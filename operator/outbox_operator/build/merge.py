"""Merge pod templates the way people know it from kubectl: objects by key, named lists by name, null removes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from outbox_operator.build.copies import copied

_LIST_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "volumeMounts": "mountPath",
    "ports": "containerPort",
}
"""Lists whose items are merged, with the field that identifies an item; all other lists are replaced."""


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """Return a new object: `base` with `overlay` merged over it."""
    merged = copied(dict(base))
    for name, value in overlay.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(merged.get(name), Mapping):
            merged[name] = merge(merged[name], value)
        elif isinstance(value, list) and name in _LIST_KEYS:
            merged[name] = merge_named(merged.get(name, []), value, _LIST_KEYS[name])
        else:
            merged[name] = copied(value)
    return merged


def merge_named(base: Sequence[Any], overlay: Sequence[Any], key: str) -> list[Any]:
    """Merge two lists whose items are identified by `key`; the order of `base` stays, new items follow."""
    merged = [copied(item) for item in base]
    places = {item.get(key): place for place, item in enumerate(merged)}
    for item in overlay:
        place = places.get(item.get(key))
        if place is None:
            places[item.get(key)] = len(merged)
            merged.append(copied(item))
        else:
            merged[place] = merge(merged[place], item)
    return merged


def merge_env(base: Sequence[Mapping[str, Any]], overlay: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Merge environments by name; an item replaces its predecessor whole: value and valueFrom exclude each other."""
    merged = {item["name"]: copied(dict(item)) for item in base}
    merged.update({item["name"]: copied(dict(item)) for item in overlay})
    return list(merged.values())
