"""What the doctor finds: one line for each thing it looked at, and what to do where that is not well."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How well a thing is: ``fail`` does not work, ``warn`` works and may hurt later."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing. ``advice`` says what to do, empty where that is nothing."""

    name: str
    level: Level
    message: str
    advice: str = ""


def ok(name: str, message: str) -> Finding:
    """Return a finding that needs nobody."""
    return Finding(name, Level.OK, message)


def warn(name: str, message: str, advice: str) -> Finding:
    """Return a finding that should be looked at."""
    return Finding(name, Level.WARN, message, advice)


def fail(name: str, message: str, advice: str) -> Finding:
    """Return a finding that does not work."""
    return Finding(name, Level.FAIL, message, advice)


def sentence(words: BaseException | str) -> str:
    """Return somebody else's words in one line that ends like a sentence."""
    line = " ".join(str(words).split()) or type(words).__name__
    return line if line.endswith((".", "?", "!")) else f"{line}."
