"""Each record that the library logs in a test is held to the fields that docs/tracing.md names."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE = Path(__file__).parents[3] / "docs" / "tracing.md"
_ROW = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
# What logging itself puts on a record, now or when it is formatted.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class Fields(logging.Handler):
    """Gathers the structured fields of what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Note each field, with a record that has it."""
        self.seen |= {name: str(record.msg) for name in vars(record).keys() - _OWN}


def documented_fields() -> set[str]:
    """Return the names in the page's table of fields."""
    table = _PAGE.read_text().partition("| field | meaning |")[2].partition("\n\n")[0]
    return set(_ROW.findall(table))


@pytest.fixture(autouse=True)
def logged_fields() -> Iterator[Fields]:
    """The fields logged so far. A field that is not documented fails the test that logged it."""
    fields = Fields()
    logger = logging.getLogger("django_outbox_pattern")
    before = logger.level
    logger.addHandler(fields)
    logger.setLevel(logging.DEBUG)
    yield fields
    logger.setLevel(before)
    logger.removeHandler(fields)
    unknown = {name: words for name, words in fields.seen.items() if name not in documented_fields()}
    assert not unknown, f"not in docs/tracing.md: {unknown}"
