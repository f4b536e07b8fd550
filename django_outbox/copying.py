"""Many new rows by COPY, which takes PostgreSQL a fraction of what an INSERT of them does.

The database works on the first rows while Python still writes the last. Rows are those of ``compiled.py`` and so are
the exceptions; ``models.py`` uses this.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from django.db import connections
from django.db.backends.utils import CursorDebugWrapper

from django_outbox import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import Model

# Fewer are written sooner by one INSERT than by the three round trips of a COPY.
LEAST_ROWS = 50


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
    if plan is None or not suits(rows, using) or any(map(plan.has_expression, rows)):
        return False
    quote = connection.ops.quote_name
    columns = ", ".join(quote(str(field.column)) for field in plan.fields)
    statement = f"COPY {quote(type(rows[0])._meta.db_table)} ({columns}) FROM STDIN"

    def execute(sql: str, *_: Any) -> None:
        with connection.wrap_database_errors, cursor.cursor.copy(sql) as stream:
            for row in rows:
                stream.write_row(plan.values(row))

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
