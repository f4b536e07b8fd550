"""Tables fit a terminal, and a progress bar is for terminals only."""

from __future__ import annotations

import argparse
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management.base import OutputWrapper
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from django_outbox import durations
from django_outbox.cli import output
from django_outbox.cli.output import Output
from django_outbox.management.commands.outbox import Command

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@given(
    st.lists(st.tuples(st.text(max_size=200), st.integers(0, 10**9), st.text(max_size=60)), max_size=5),
    st.integers(40, 120),
)
def test_a_table_never_gets_wider_than_asked(rows: list[tuple[str, int, str]], width: int) -> None:
    lines = output.table(("WHERE", "COUNT", "WHY"), rows, width)
    assert max(map(len, lines)) <= width
    assert len(lines) == len(rows) + 1


def test_numbers_stand_to_the_right_and_long_text_is_cut_visibly() -> None:
    lines = output.table(("NAME", "N"), [("x" * 100, 1), ("y", 12345)], width=40)
    assert lines[1].endswith("…       1")
    assert lines[2].endswith("12,345")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (61, "1 min 1 s"), (7200, "2 h"), (90061, "1 d 1 h"), (86460, "1 d 1 min")],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, words: str) -> None:
    assert durations.span(seconds) == words


def test_what_lies_in_the_future_is_0_old() -> None:
    assert durations.age(timezone.now() + timedelta(hours=1)) == "0 s"
    assert durations.age(None) == "-"


def test_progress_is_shown_on_a_terminal_and_nowhere_else() -> None:
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        out = Output(OutputWrapper(io.StringIO()), OutputWrapper(stream))
        assert sum(out.progress([2, 2, 1], 5, "rows")) == 5
        assert ("[####################] 5 of 5 rows\n" in stream.getvalue()) is shown
        assert bool(stream.getvalue()) is shown


def test_without_a_terminal_nothing_is_consented_to(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Output(OutputWrapper(io.StringIO()), OutputWrapper(io.StringIO()))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert out.confirm("Delete?") is False
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert out.confirm("Delete?") is True
    monkeypatch.setattr("sys.stdin", Terminal("\n"))
    assert out.confirm("Delete?") is False


def test_every_subcommand_can_print_json_and_each_that_changes_something_can_only_count() -> None:
    parser = Command().create_parser("manage.py", "outbox")
    options = dict(_options(parser, ()))
    # The doctor rolls back and tidies up.
    unchanging = {
        ("status",),
        ("audit",),
        ("check",),
        ("doctor",),
        ("preflight",),
        ("await-migrations",),
        ("dlq", "list"),
    }
    assert {path for path, known in options.items() if "--json" not in known} == set()
    assert {path for path, known in options.items() if "--dry-run" not in known} == unchanging


def _options(parser: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], set[str]]]:
    """The options of each subcommand that has none below it."""
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield path, set(parser._option_string_actions)
    for action in below:
        for name, child in action.choices.items():
            yield from _options(child, (*path, name))
