"""What the database has already: an interrupted migration is run again and must find what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.models import Model


def is_to_be_built(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
    """Tell whether an index is missing; one that an interrupted run left half built is dropped first (PostgreSQL)."""
    if getattr(schema_editor, "collect_sql", False):
        return True
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relname = %s AND pg_table_is_visible(pg_class.oid)",
            [name],
        )
        found = cursor.fetchone()
    if found is not None and not found[0]:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}", params=None)
    return found is None or not found[0]


def is_constraint(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
    if getattr(schema_editor, "collect_sql", False):
        return False
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
            " WHERE conname = %s AND pg_table_is_visible(pg_class.oid)",
            [name],
        )
        return cursor.fetchone() is not None


def key_is_text(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> bool:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
            [model._meta.db_table, "id"],
        )
        found = cursor.fetchone()
    return found is not None and found[0] == "char"


def columns(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> set[str]:
    introspection = schema_editor.connection.introspection
    with schema_editor.connection.cursor() as cursor:
        return {column.name for column in introspection.get_table_description(cursor, model._meta.db_table)}


def constraints(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> set[str]:
    introspection = schema_editor.connection.introspection
    with schema_editor.connection.cursor() as cursor:
        return set(introspection.get_constraints(cursor, model._meta.db_table))
