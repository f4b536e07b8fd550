"""What a message may be made of, so that every database holds it and every broker takes it: pure.

``models.Published`` asks when a message is written, because who wrote it can mend it then and nobody can later. The
rules are the same on every database: a test on SQLite must not pass where PostgreSQL refuses. ``inbox.py`` asks the
same of what others sent.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder

from django_outbox import jsontext
from django_outbox.exceptions import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

# Deep enough for every document that people write; SQLite ends at 1000 and Python's own JSON a little below.
MAX_DEPTH = 200
# These two say "not JSON" to what is deeper.
MAX_DEPTH_MARIADB, MAX_DEPTH_MYSQL = 31, 100
MAX_DESTINATION = 255  # characters, the width of the column
MAX_VERSION = 100
MAX_KEY = 255

# How json.dumps writes NUL, and surrogates of which a pair would have to be looked at.
_SUSPICIOUS = re.compile(r"\\u(?:0000|d[89a-f])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAMES = frozenset({str, type(None)})
_NAME_TYPES = str | int | float | bool | None
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a document in the database that Python cannot read; ``why`` is for the row's error."""

    why: str


def check_body(body: Any, max_depth: int = MAX_DEPTH, encoder: type[json.JSONEncoder] | None = None) -> None:
    """Raise ``InvalidMessage``, which names the place, for a body that JSON or a database cannot hold."""
    if hasattr(body, "resolve_expression"):
        return  # Not a value but something that the database works out.
    try:
        text = jsontext.writer(encoder, allow_nan=False)(body)
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        _find(body, "body", max_depth, encoder)
        raise InvalidMessage(f"The body cannot be written as JSON: {error}.") from error
    # A look at the text costs next to nothing; only what may be wrong is walked through.
    if ("\\u" in text and _SUSPICIOUS.search(text)) or text.count("[") + text.count("{") > max_depth:
        _find(body, "body", max_depth, encoder)


def check_headers(headers: Any) -> None:
    """Raise ``InvalidMessage`` for headers that are no mapping, or that JSON or a database cannot hold."""
    if not headers and isinstance(headers, dict | None):
        return
    if not isinstance(headers, Mapping):
        raise InvalidMessage(f"The headers must be a mapping of names to values, not {type(headers).__name__}.")
    _find(dict(headers), "headers", MAX_DEPTH, DjangoJSONEncoder)


def check_destination(destination: Any, version: Any = None) -> None:
    """Raise ``InvalidMessage`` for a destination, or a version of it, that cannot be stored or put in a frame."""
    if type(destination) is str and type(version) in _NAMES:
        _check_name(destination, version)  # Most messages go where others went.
    else:
        _check_destination(destination, version)


def _check_destination(destination: Any, version: Any) -> None:
    whole = f"{destination}.{version}" if version and isinstance(destination, str) else destination
    if version is not None:
        _check_text("version", str(version), MAX_VERSION)
    _check_text("destination", whole, MAX_DESTINATION)
    if not destination.strip():
        raise InvalidMessage("The destination is empty. Give one such as /topic/order.placed.")


_check_name = lru_cache(maxsize=256)(_check_destination)


def check_key(key: Any) -> str | None:
    """Return a key as it is stored, None for an empty one. Raises ``InvalidMessage`` for one that does not fit.

    Cut off by the database, it would be another key.
    """
    if key is None:
        return None
    text = str(key)
    _check_text("key", text, MAX_KEY)
    return text or None


def depth_of(connection: BaseDatabaseWrapper) -> int:
    """Return how deep a document may be nested in a database."""
    if connection.vendor != "mysql":
        return MAX_DEPTH
    return MAX_DEPTH_MARIADB if getattr(connection, "mysql_is_mariadb", False) else MAX_DEPTH_MYSQL


def is_storable(document: Any, max_depth: int = MAX_DEPTH) -> bool:
    """Tell whether a JSON column can hold what came out of JSON."""
    try:
        check_body(document, max_depth)
    except InvalidMessage:
        return False
    return True


def _check_text(what: str, value: Any, limit: int) -> None:
    if not isinstance(value, str):
        raise InvalidMessage(f"The {what} must be text, not {type(value).__name__}.")
    problem = _problem_of_text(value)
    if problem is not None:
        raise InvalidMessage(f"The {what} {_short(value)} {problem}.")
    if len(value) > limit:
        raise InvalidMessage(f"The {what} has {len(value)} characters, at most {limit} are possible.")


def _find(document: Any, name: str, max_depth: int, encoder: type[json.JSONEncoder] | None) -> None:
    """Raise for the first place in a document that is wrong; without recursion, which deep ones would exhaust."""
    waiting: list[tuple[Any, str, int]] = [(document, name, 1)]
    while waiting:
        value, path, depth = waiting.pop()
        if depth > max_depth + 1:
            raise InvalidMessage(f"The {name} is nested more than {max_depth} levels deep, at {_cut(path)}.")
        problem = _problem_of(value, encoder)
        if problem is not None:
            raise InvalidMessage(f"{_cut(path)} {problem}.")
        waiting.extend((inner, inner_path, depth + 1) for inner, inner_path in _parts(value, path))


def _parts(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            # The key's own text has to be storable, too.
            yield key, f"{path}: the name {_short(key)}"
            yield inner, f"{path}[{_short(key)}]"
    elif isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            yield inner, f"{path}[{position}]"


def _problem_of(value: Any, encoder: type[json.JSONEncoder] | None) -> str | None:
    match value:
        case str():
            return _problem_of_text(value)
        case float() if not math.isfinite(value):
            return f"is {value}, which JSON cannot say: use None or text"
        case dict():
            odd = next((key for key in value if not isinstance(key, _NAME_TYPES)), None)
            return None if odd is None else f"has the name {_short(odd)}, and names in JSON are text"
        case None | float() | list() | tuple():
            return None
        case _:
            return _refusal(value, encoder)


def _refusal(value: Any, encoder: type[json.JSONEncoder] | None) -> str | None:
    """Return why the encoder does not take a single value."""
    try:
        json.dumps(value, cls=encoder)
    except (TypeError, ValueError, RecursionError) as error:
        return f"is of type {type(value).__name__} and cannot be written as JSON: {error}"
    return None


def _problem_of_text(text: str) -> str | None:
    if "\0" in text:
        return "holds the character NUL (\\x00), which PostgreSQL cannot store: remove it"
    if _SURROGATE.search(text):
        return "holds half of a surrogate pair, which is no Unicode text: decode its bytes again"
    return None


def _short(value: Any) -> str:
    try:
        return _cut(repr(value))
    except (ValueError, RecursionError):
        # Numbers of more than 4300 digits.
        return f"of type {type(value).__name__}"


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
