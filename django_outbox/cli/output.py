"""What the subcommands print: tables that fit a terminal of 80 columns, or one JSON document.

The tables are for people and may change; the JSON's keys are documented in docs/commands.md and stay.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.core.management.base import OutputWrapper

WIDTH = 80
_GAP = "  "
_NARROWEST = 8
_BAR = 20


@dataclass
class Output:
    """Where a subcommand's words go: results to ``out``, questions, warnings and progress to ``err``."""

    out: OutputWrapper
    err: OutputWrapper
    as_json: bool = False

    def line(self, text: str = "") -> None:
        """Print a line for people; nothing when JSON was asked for."""
        if not self.as_json:
            self.out.write(text)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Print a table for people."""
        for text in table(header, list(rows)):
            self.line(text)

    def document(self, value: Any) -> None:
        """Print the JSON document, if that was asked for."""
        if self.as_json:
            self.out.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))

    def warn(self, text: str) -> None:
        """Say something that is not part of the result."""
        self.err.write(text, style_func=str)

    def confirm(self, question: str) -> bool:
        """Ask at the terminal; no terminal, no consent."""
        if not sys.stdin.isatty():
            return False
        self.err.write(f"{question} [y/N] ", style_func=str, ending="")
        self.err.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def progress(self, steps: Iterable[int], total: int, what: str) -> Iterator[int]:
        """Pass the steps on and show, if there is a terminal, how far they have come."""
        done, shown = 0, self.err.isatty()
        for step in steps:
            done += step
            if shown:
                self.err.write(f"\r{bar(done, total)} {done:,} of {total:,} {what}", style_func=str, ending="")
                self.err.flush()
            yield step
        if shown and done:
            self.err.write("", style_func=str)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], width: int = WIDTH) -> list[str]:
    """Lay out rows under a header: numbers to the right, and the widest columns cut until all fits."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = _fit([max(map(len, column)) for column in zip(header, *cells, strict=True)], width)
    right = [bool(rows) and all(isinstance(row[index], int) for row in rows) for index in range(len(header))]
    lines = []
    for row in (list(header), *cells):
        parts = [
            shorten(text, size).rjust(size) if is_number else shorten(text, size).ljust(size)
            for text, size, is_number in zip(row, widths, right, strict=True)
        ]
        lines.append(_GAP.join(parts).rstrip())
    return lines


def shorten(text: str, size: int) -> str:
    """Cut text to a size and say so."""
    return text if len(text) <= size else f"{text[: size - 1]}…"


def bar(done: int, total: int) -> str:
    """Return a progress bar."""
    filled = _BAR if total <= 0 else min(_BAR, _BAR * done // total)
    return f"[{'#' * filled}{' ' * (_BAR - filled)}]"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else " ".join(str(value).split())


def _fit(widths: list[int], width: int) -> list[int]:
    """Take from the widest columns until the row fits; none gets narrower than it must stay to be read."""
    fitted = list(widths)
    room = width - len(_GAP) * (len(widths) - 1)
    while sum(fitted) > room and max(fitted) > _NARROWEST:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted
