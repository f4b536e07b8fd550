"""Whether a database has the columns that the publisher writes. The command asks before it starts."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, connections

from django_outbox.outbox import published_model

NOTES = ("next_attempt_at", "claim_token", "claimed_until", "last_error", "key")


def schema_problem(using: str = DEFAULT_DB_ALIAS) -> str | None:
    """Return why this database cannot hold our rows and what to do, None when it can."""
    model, connection = published_model(), connections[using]
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            return f"The database {using!r} has no table {table!r}. Run: manage.py migrate --database {using}"
        present = {column.name for column in connection.introspection.get_table_description(cursor, table)}
    missing = [name for name in NOTES if name not in present]
    if missing:
        return (
            f"The table {table!r} of the database {using!r} has no column {', '.join(missing)}."
            f" Run: manage.py migrate --database {using}"
        )
    return None
