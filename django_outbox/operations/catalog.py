"""What the database has already: an interrupted migration is run again and must find what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.models import Model


def is_to_be_built(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
    """Tell whether an index is missing; one that an interrupted run left half built is dropped first (PostgreSQL)."""
    if getattr(schema_editor, "collect_sql", False):
        return True
    found = _row(
        schema_editor,
        "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
        " WHERE relname = %s AND pg_table_is_visible(pg_class.oid)",
        name,
    )
    if found is not None and not found[0]:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}", params=None)
    return found is None or not found[0]


def is_constraint(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
    """Tell whether there is a constraint of that name (PostgreSQL)."""
    if getattr(schema_editor, "collect_sql", False):
        return False
    found = _row(
        schema_editor,
        "SELECT 1 FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
        " WHERE conname = %s AND pg_table_is_visible(pg_class.oid)",
        name,
    )
    return found is not None


def key_is_text(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> bool:
    """Tell whether the ids of a table are text (MariaDB)."""
    found = _row(
        schema_editor,
        "SELECT data_type FROM information_schema.columns"
        " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
        *(model._meta.db_table, "id"),
    )
    return found is not None and found[0] == "char"


def columns(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> set[str]:
    """Return the names of a table's columns."""
    introspection = schema_editor.connection.introspection
    with schema_editor.connection.cursor() as cursor:
        return {column.name for column in introspection.get_table_description(cursor, model._meta.db_table)}


def constraints(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> set[str]:
    """Return the names of a table's constraints and indexes."""
    introspection = schema_editor.connection.introspection
    with schema_editor.connection.cursor() as cursor:
        return set(introspection.get_constraints(cursor, model._meta.db_table))


def _row(schema_editor: BaseDatabaseSchemaEditor, statement: str, *parameters: str) -> Any:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()
