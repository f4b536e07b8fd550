"""Many new rows by COPY, which takes PostgreSQL a fraction of what an INSERT of them does.

The database works on the first rows while Python still writes the last, a block of lines at a time. Rows are those of
``compiled.py`` and so are the exceptions; ``models.py`` and ``inbox.py`` use this.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections
from django.db.backends.utils import CursorDebugWrapper

from django_outbox import compiled
from django_outbox.choices import StatusChoice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Model

    from django_outbox.columns import Column

# Fewer are written sooner by one INSERT than by the three round trips of a COPY.
LEAST_ROWS = 50
# Some tens of kilobytes: few calls of the driver's, and no second copy of all rows.
BLOCK_ROWS = 100
_NULL = r"\N"
# A column often says the same for each row.
_QUICKLY_COMPARED = {str, int, StatusChoice, type(None)}


def suits(rows: Sequence[Model], using: str) -> bool:
    """Tell whether there are rows enough and the database and its driver know COPY."""
    return len(rows) >= LEAST_ROWS and _can_copy(connections[using])


def copy(rows: Sequence[Model], using: str) -> bool:
    """Write new rows of one model in the transaction that is open, without signals.

    Returns False when these rows or this database cannot be written to so, and nothing was done. Raises what Django
    raises for errors of the database.
    """
    connection = connections[using]
    plan = compiled.insertion(type(rows[0]), using, connection.vendor)
    if plan is None or not suits(rows, using) or compiled.have_expression(rows):
        return False
    if not all(column.is_text for column in plan.columns):
        return False
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in plan.fields)
    statement = f"COPY {quote(type(rows[0])._meta.db_table)} ({columns}) FROM STDIN"

    def execute(sql: str, *_: Any) -> None:
        with connection.wrap_database_errors, cursor.cursor.copy(sql) as stream:
            for block in _blocks(plan, rows):
                stream.write(block)

    with connection.cursor() as cursor:
        is_logged = isinstance(cursor, CursorDebugWrapper)
        with cursor.debug_sql(statement) if is_logged else nullcontext():
            # Whoever watches statements, such as a group of messages for its savepoint, has to see this one.
            cursor._execute_with_wrappers(statement, None, many=False, executor=execute)
    compiled.note_inserted(rows, using)
    return True


def _can_copy(connection: Any) -> bool:
    """Tell whether this is PostgreSQL with psycopg 3; psycopg2 wants a file with all rows in it."""
    if connection.vendor != "postgresql":
        return False
    connection.ensure_connection()
    return hasattr(connection.connection, "pgconn")


def _blocks(plan: compiled.Insertion, rows: Sequence[Model]) -> Iterator[str]:
    """Return the lines of the rows, many at a time: so columns are written, whose values are mostly of one kind."""
    zone = UTC if settings.USE_TZ else None
    for start in range(0, len(rows), BLOCK_ROWS):
        block = [row.__dict__ for row in rows[start : start + BLOCK_ROWS]]
        for name in plan.stamped:
            for given in block:
                given[name] = datetime.now(zone)
        columns = [_texts(column, [given[column.name] for given in block]) for column in plan.columns]
        yield "\n".join([*map("\t".join, zip(*columns, strict=True)), ""])


def _texts(column: Column, values: list[Any]) -> list[str]:
    """Return the values of a column in COPY's text format."""
    kinds = set(map(type, values))
    if kinds <= _QUICKLY_COMPARED and values.count(values[0]) == len(values):
        return _texts_of_each(column, values[:1], kinds) * len(values)
    return _texts_of_each(column, values, kinds)


def _texts_of_each(column: Column, values: list[Any], kinds: set[type[Any]]) -> list[str]:
    texts = map(column.way(*kinds) if len(kinds) == 1 else column.of, values)
    if column.is_free:
        return [_NULL if text is None else _escaped(text) for text in texts]
    return [_NULL if text is None else text for text in texts]


def _escaped(text: str) -> str:
    """Return a text without what has a meaning to COPY; the backslash first, which stands before the others then."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
