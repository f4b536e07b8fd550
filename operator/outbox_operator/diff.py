"""Compare what we want with what is there, and say in words what differs first.

`apply` uses `first_difference` to tell whether a request is needed at all, and `explain_roll` to say why the workers
are replaced. Values of environment variables are never put into words: they may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from outbox_operator.build.names import AWAIT_MIGRATIONS, CONFIG_ANNOTATION, CONTAINER, PREFLIGHT

_ITEM_KEYS: Final = ("name", "mountPath", "containerPort", "uid", "key", "topologyKey", "ip")
"""Fields by which an item of a list is known, in the order they are tried."""
_GATES: Final = frozenset({f"initContainers[{name}]" for name in (PREFLIGHT, AWAIT_MIGRATIONS)})
_MAX_VALUE: Final = 80
_SUFFIXES: Final[Mapping[str, Decimal]] = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(1000),
    "M": Decimal(1000) ** 2,
    "G": Decimal(1000) ** 3,
    "T": Decimal(1000) ** 4,
    "Ki": Decimal(1024),
    "Mi": Decimal(1024) ** 2,
    "Gi": Decimal(1024) ** 3,
    "Ti": Decimal(1024) ** 4,
}
_QUANTITY: Final = re.compile(r"^([+-]?[0-9.]+)(n|u|m|k|M|G|T|Ki|Mi|Gi|Ti|)$")

Path = tuple[str, ...]


class Difference(NamedTuple):
    """A field that differs: where, what is there, what should be there."""

    path: Path
    live: Any
    wanted: Any


def first_difference(wanted: Mapping[str, Any], live: Mapping[str, Any]) -> Difference | None:
    """Return the first field of `wanted` that `live` does not carry; fields that only `live` has are not ours."""
    return next(_walk((), wanted, live, both=False), None)


def differences(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Difference]:
    """Return every field in which two objects differ, whichever has it."""
    return list(_walk((), new, old, both=True))


def explain_roll(new: Mapping[str, Any], old: Mapping[str, Any]) -> str | None:
    """Say what makes one pod template differ from another, or None when nothing does."""
    found = differences(new, old)
    if not found:
        return None
    # The gates run what the worker runs: their own differences are told only where there is no other.
    found = [difference for difference in found if not _GATES.intersection(difference.path)] or found
    first = min(found, key=_importance)
    others = len({_subject(difference) for difference in found}) - 1
    words = in_words(first)
    return f"{words} (and {others} more {'change' if others == 1 else 'changes'})" if others > 0 else words


def in_words(difference: Difference) -> str:
    """Say what differs, for people."""
    path, live, wanted = difference
    if path[-1] == CONFIG_ANNOTATION:
        return _config_in_words(str(live or ""), str(wanted or ""))
    name = dotted(path)
    variable = _variable(path)
    if variable is not None:
        return f"environment variable {variable} changed"
    if live is None:
        return f"{name} was added"
    if wanted is None:
        return f"{name} was removed"
    if any(isinstance(item, Mapping) for item in (*_listed(live), *_listed(wanted))):
        return f"{name} changed"
    return f"{name} changed from {_shown(live)} to {_shown(wanted)}"


def dotted(path: Path) -> str:
    """Return a path as people write it; the worker's own container goes without saying."""
    text = "".join(part if part.startswith("[") else f".{part}" for part in path).lstrip(".")
    for prefix in (f"spec.template.spec.containers[{CONTAINER}].", f"spec.containers[{CONTAINER}]."):
        text = text.removeprefix(prefix)
    return text


def _walk(path: Path, wanted: Any, live: Any, *, both: bool) -> Iterator[Difference]:
    """Yield what differs; `both`: also what only `live` has."""
    if wanted == live:
        return
    if _are(Mapping, wanted, live, both=both):
        yield from _walk_mapping(path, wanted or {}, live or {}, both=both)
    elif _are(list, wanted, live, both=both) and (key := _item_key([*(wanted or []), *(live or [])])):
        yield from _walk_items(path, wanted or [], live or [], key, both=both)
    elif isinstance(wanted, list) and isinstance(live, list):
        pairs = zip(wanted, live, strict=False)
        if len(wanted) != len(live) or any(next(_walk((), *pair, both=both), None) for pair in pairs):
            yield Difference(path, live, wanted)
    elif not _same(wanted, live) and not (both and _same(live, wanted)):
        yield Difference(path, live, wanted)


def _are(type_: type, wanted: Any, live: Any, *, both: bool) -> bool:
    """Tell whether two values can be walked together; absence counts as empty when looking both ways."""
    if isinstance(wanted, type_) and isinstance(live, type_):
        return True
    return both and any(isinstance(one, type_) and one and other is None for one, other in _both_ways(wanted, live))


def _both_ways(wanted: Any, live: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (wanted, live), (live, wanted)


def _walk_mapping(
    path: Path, wanted: Mapping[str, Any], live: Mapping[str, Any], *, both: bool
) -> Iterator[Difference]:
    names = dict.fromkeys((*wanted, *live)) if both else wanted
    for name in names:
        yield from _walk((*path, str(name)), wanted.get(name), live.get(name), both=both)


def _walk_items(path: Path, wanted: list[Any], live: list[Any], key: str, *, both: bool) -> Iterator[Difference]:
    ours, theirs = ({item[key]: item for item in items} for items in (wanted, live))
    for name in dict.fromkeys((*ours, *theirs)) if both else ours:
        place = (*path[:-1], f"{path[-1] if path else ''}[{name}]")
        if name in ours and name in theirs:
            yield from _walk(place, ours[name], theirs[name], both=both)
        else:
            yield Difference(place, theirs.get(name), ours.get(name))


def _item_key(items: list[Any]) -> str | None:
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    return next((key for key in _ITEM_KEYS if all(key in item for item in items)), None)


def _same(wanted: Any, live: Any) -> bool:
    if wanted == live:
        return True
    if live is None:
        # The API server leaves out what is empty or false.
        return not wanted and not isinstance(wanted, Mapping)
    first, second = _quantity(wanted), _quantity(live)
    return first is not None and first == second


def _quantity(value: Any) -> Decimal | None:
    match = _QUANTITY.match(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if match is None or match[1].count(".") > 1:
        return None
    return Decimal(match[1]) * _SUFFIXES[match[2]]


def _importance(difference: Difference) -> tuple[int, str]:
    """Order causes by what people look for: the configuration, the image, then the rest."""
    path = difference.path
    if path[-1] == CONFIG_ANNOTATION:
        return 0, ""
    name = dotted(path)
    order = ("image", "command", "args", "env", "envFrom", "resources")
    head = re.split(r"[.\[]", name)[0]
    return (1 + order.index(head), name) if head in order else (len(order) + 1, name)


def _subject(difference: Difference) -> str:
    return _variable(difference.path) or dotted(difference.path)


def _variable(path: Path) -> str | None:
    part = next((part for part in path if part.startswith("env[")), None)
    return part[len("env[") : -1] if part else None


def _config_in_words(old: str, new: str) -> str:
    before, after = parse_marks(old), parse_marks(new)
    changed = [name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)]
    if not changed:
        return "the marks of the configuration changed"
    kind, _, name = changed[0].partition("/")
    if changed[0] not in before:
        words = f"{kind} {name} is now used by the environment"
    elif changed[0] not in after:
        words = f"{kind} {name} is no longer used by the environment"
    else:
        words = f"{kind} {name} changed"
    return f"{words} (and {len(changed) - 1} more)" if len(changed) > 1 else words


def parse_marks(text: str) -> dict[str, str]:
    """Read the value of the configuration annotation: `Secret/name=digest,...`."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shown(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _MAX_VALUE else f"{text[: _MAX_VALUE - 1]}…"
