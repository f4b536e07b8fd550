"""What a setting may be: one small function for each kind, and the row of the settings' table.

A validator returns None for a value that is right and otherwise says what is expected, in words that fit after "must
be". Used by ``settings.py`` for its table; ``checks.py`` asks it.
"""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Validator = Callable[[Any], str | None]

# Validators of numbers: what passes them may have come as text.
_OF_NUMBERS: set[Validator] = set()
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True, slots=True)
class Key:
    """One setting: its name, its default, what it must be, and what it means with its unit."""

    name: str
    default: Any
    validate: Validator
    meaning: str

    def fresh_default(self) -> Any:
        """Return the default; a copy, so that nobody's change to a dict or list reaches the next reader."""
        return copy.copy(self.default) if isinstance(self.default, dict | list) else self.default

    def read(self, value: Any) -> Any:
        """Return the value as the code uses it: numbers may come as text, as they do from environment variables."""
        if isinstance(value, str) and self.validate in _OF_NUMBERS:
            number = _number_or_none(value)
            return value if number is None else number
        return copy.copy(value) if isinstance(value, dict) else value


def anything(_value: Any) -> str | None:
    """Accept every value."""
    return None


def optional(validate: Validator) -> Validator:
    """Accept None besides what ``validate`` accepts."""

    def check(value: Any) -> str | None:
        expected = None if value is None else validate(value)
        return expected and f"{expected}, or None"

    if validate in _OF_NUMBERS:
        _OF_NUMBERS.add(check)
    return check


def text(value: Any) -> str | None:
    """Accept text."""
    return None if isinstance(value, str) else "text"


def path(value: Any) -> str | None:
    """Accept the path of a file."""
    return None if isinstance(value, str | os.PathLike) else "the path of a file"


def dotted_path(value: Any) -> str | None:
    """Accept the dotted path of something to import."""
    ok = isinstance(value, str) and _DOTTED.fullmatch(value)
    return None if ok else "a dotted path such as 'package.module.Name'"


def function(value: Any) -> str | None:
    """Accept a function or the dotted path of one."""
    return None if callable(value) or dotted_path(value) is None else "a function or the dotted path of one"


def boolean(value: Any) -> str | None:
    """Accept True and False."""
    return None if isinstance(value, bool) else "True or False"


def one_of(*words: str) -> Validator:
    """Accept one of the words."""

    def check(value: Any) -> str | None:
        return None if value in words else "one of " + ", ".join(map(repr, words))

    return check


def positive(value: Any) -> str | None:
    """Accept a finite number above 0."""
    number = _number_or_none(value)
    return None if number is not None and number > 0 else "a number above 0"


def not_negative(value: Any) -> str | None:
    """Accept a finite number from 0 up."""
    number = _number_or_none(value)
    return None if number is not None and number >= 0 else "a number, 0 or more"


def whole_positive(value: Any) -> str | None:
    """Accept a whole number from 1 up."""
    number = _number_or_none(value)
    return None if isinstance(number, int) and number > 0 else "a whole number, 1 or more"


def whole_not_negative(value: Any) -> str | None:
    """Accept a whole number from 0 up."""
    number = _number_or_none(value)
    return None if isinstance(number, int) and number >= 0 else "a whole number, 0 or more"


def delays(value: Any) -> str | None:
    """Accept a list of seconds, an empty one too."""
    ok = _is_sequence(value) and all(_is_delay(item) for item in value)
    return None if ok else "a list of seconds, each from 0.1 to a week, such as (10, 60, 300)"


def port(value: Any) -> str | None:
    """Accept a TCP port, 0 included."""
    number = _number_or_none(value)
    return None if isinstance(number, int) and 0 <= number <= 65535 else "a port from 0 to 65535"


def mapping(value: Any) -> str | None:
    """Accept a dict with text as keys."""
    ok = isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
    return None if ok else "a dict of header names and values"


def hosts(value: Any) -> str | None:
    """Accept a list of (host, port) pairs with at least one in it."""
    ok = _is_sequence(value) and len(value) > 0 and all(_is_host_and_port(item) for item in value)
    return None if ok else 'a list of (host, port) pairs, such as [("rabbitmq", 61613)]'


def heartbeats(value: Any) -> str | None:
    """Accept a pair of milliseconds."""
    ok = _is_sequence(value) and len(value) == 2 and all(isinstance(item, int) and item >= 0 for item in value)
    return None if ok else "a pair of milliseconds, such as (10000, 10000)"


_OF_NUMBERS.update({positive, not_negative, whole_positive, whole_not_negative, port})


def _is_host_and_port(value: Any) -> bool:
    if not _is_sequence(value) or len(value) != 2:
        return False
    host, number = value
    return isinstance(host, str) and host != "" and isinstance(number, int) and 0 < number <= 65535


def _is_delay(value: Any) -> bool:
    return not isinstance(value, bool | str) and isinstance(value, int | float) and 0.1 <= value <= 7 * 24 * 3600


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _number_or_none(value: Any) -> int | float | None:
    """Return a number, also out of text; None for anything else, for True and False, and for what is not finite."""
    if isinstance(value, str):
        value = _parse(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _parse(value: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return None
