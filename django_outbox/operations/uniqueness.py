"""A unique constraint, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.migrations.operations import AddConstraint

from django_outbox.operations.catalog import constraints, is_constraint, is_to_be_built
from django_outbox.operations.patience import patiently

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState
    from django.db.models import Model


class AddUniqueConstraintOnline(AddConstraint):
    """Add a unique constraint, conditional or not, without locking writers out.

    MySQL and MariaDB know no condition: there a column that is computed from it, and null where it is not met, carries
    the unique index. Django warns there of a constraint it does not make (models.W036); this one is made all the same.
    """

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Build the unique index and, when it has no condition, make it the constraint."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        vendor, constraint = schema_editor.connection.vendor, self._constraint
        if vendor == "postgresql":
            self._build(schema_editor, model)
        elif vendor == "sqlite" and constraint.condition is None:
            # Django would copy the table, with the unique columns that the state still names. A later copy brings this
            # index into the table.
            schema_editor.execute(self._index_sql(schema_editor, model), params=None)
        elif vendor == "mysql" and constraint.name in constraints(schema_editor, model):
            return
        elif vendor == "mysql" and constraint.condition is not None:
            patiently(schema_editor, [model], lambda: self._emulate(schema_editor, model))
        else:
            forwards = super().database_forwards
            patiently(schema_editor, [model], lambda: forwards(app_label, schema_editor, from_state, to_state))

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Drop it."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "mysql" or self._constraint.condition is None:
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(schema_editor.connection.alias, model):
            table, name = self._quoted(schema_editor, model._meta.db_table, self._constraint.name)
            guard = schema_editor.quote_name(self._guard)
            schema_editor.execute(f"ALTER TABLE {table} DROP INDEX {name}, DROP COLUMN {guard}")

    @property
    def _constraint(self) -> Any:
        return self.constraint

    @property
    def _guard(self) -> str:
        return f"{self._constraint.name}_guard"

    @staticmethod
    def _quoted(schema_editor: BaseDatabaseSchemaEditor, *names: str) -> list[str]:
        return [schema_editor.quote_name(name) for name in names]

    def _build(self, schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> None:
        constraint = self._constraint
        table, name = self._quoted(schema_editor, model._meta.db_table, constraint.name)
        if is_to_be_built(schema_editor, constraint.name):
            schema_editor.execute(self._index_sql(schema_editor, model, "CONCURRENTLY "), params=None)
        if constraint.condition is None and not is_constraint(schema_editor, constraint.name):
            take_over = f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
            patiently(schema_editor, [model], lambda: schema_editor.execute(take_over, params=None))

    def _index_sql(self, schema_editor: BaseDatabaseSchemaEditor, model: type[Model], how: str = "") -> str:
        table, name = self._quoted(schema_editor, model._meta.db_table, self._constraint.name)
        fields: list[Any] = [model._meta.get_field(field) for field in self._constraint.fields]
        columns = ", ".join(schema_editor.quote_name(field.column) for field in fields)
        condition = self._constraint._get_condition_sql(model, schema_editor)
        where = f" WHERE {condition}" if condition else ""
        return f"CREATE UNIQUE INDEX {how}{name} ON {table} ({columns}){where}"

    def _emulate(self, schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> None:
        constraint = self._constraint
        field: Any = model._meta.get_field(constraint.fields[0])
        table, name, column, guard = self._quoted(
            schema_editor, model._meta.db_table, constraint.name, field.column, self._guard
        )
        kind = field.db_parameters(connection=schema_editor.connection)["type"]
        condition = constraint._get_condition_sql(model, schema_editor)
        computed = f"CASE WHEN {condition} THEN {column} END"
        schema_editor.execute(
            f"ALTER TABLE {table} ADD COLUMN {guard} {kind} GENERATED ALWAYS AS ({computed}) VIRTUAL,"
            f" ADD UNIQUE INDEX {name} ({guard})",
            params=None,
        )
