"""Migration operations for tables in use: indexes and constraints that do not stop writers while they are built.

On PostgreSQL they are built concurrently, elsewhere in Django's usual way. They must be in a migration with
``atomic = False``. A build that was interrupted leaves an invalid index behind on PostgreSQL; running the migration
again removes it first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.migrations.operations import AddConstraint, AddIndex

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState
    from django.db.models import Model


class AddIndexOnline(AddIndex):
    """Add an index without locking writers out."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Build the index."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop_if_invalid(schema_editor, self.index.name)
            editor: Any = schema_editor
            editor.add_index(model, self.index, concurrently=True)


class AddUniqueConstraintOnline(AddConstraint):
    """Add a unique constraint, conditional or not, without locking writers out."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Build the unique index and, when it has no condition, make it the constraint."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            _drop_if_invalid(schema_editor, self.constraint.name)
            self._build(schema_editor, model)

    def _build(self, schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> None:
        constraint: Any = self.constraint
        quote = schema_editor.quote_name
        name, table = quote(constraint.name), quote(model._meta.db_table)
        fields: list[Any] = [model._meta.get_field(field) for field in constraint.fields]
        columns = ", ".join(quote(field.column) for field in fields)
        condition = constraint._get_condition_sql(model, schema_editor)
        where = f" WHERE {condition}" if condition else ""
        schema_editor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {table} ({columns}){where}", params=None)
        if not condition:
            schema_editor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}", params=None)


def _drop_if_invalid(schema_editor: BaseDatabaseSchemaEditor, name: str) -> None:
    if getattr(schema_editor, "collect_sql", False):
        return
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relname = %s AND NOT indisvalid AND pg_table_is_visible(pg_class.oid)",
            [name],
        )
        invalid = cursor.fetchone() is not None
    if invalid:
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {schema_editor.quote_name(name)}", params=None)
