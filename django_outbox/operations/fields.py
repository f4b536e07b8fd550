"""Operations on columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.migrations.operations import AddField, AlterField

from django_outbox.operations.catalog import columns, is_to_be_built
from django_outbox.operations.patience import patiently

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState


class AddFieldOnline(AddField):
    """Add a column that may be null or has a default that the database can keep, without a long lock."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Add the column, unless a run that was interrupted has done so."""
        model = to_state.apps.get_model(app_label, self.model_name)
        column: Any = model._meta.get_field(self.name)
        if schema_editor.connection.vendor == "mysql" and column.column in columns(schema_editor, model):
            return
        forwards = super().database_forwards
        patiently(schema_editor, [model], lambda: forwards(app_label, schema_editor, from_state, to_state))


class AlterFieldOnline(AlterField):
    """Change what needs no look at the rows (null, a unique index less), without a long lock."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Change the column."""
        model = to_state.apps.get_model(app_label, self.model_name)
        forwards = super().database_forwards
        patiently(schema_editor, [model], lambda: forwards(app_label, schema_editor, from_state, to_state))


class IndexFieldOnline(AlterField):
    """Give a column an index (``db_index=True``) without locking writers out."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Build the index."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        elif self.allow_migrate_model(schema_editor.connection.alias, model):
            editor: Any = schema_editor
            field: Any = model._meta.get_field(self.name)
            if is_to_be_built(editor, editor._create_index_name(model._meta.db_table, [field.column])):
                editor.execute(editor._create_index_sql(model, fields=[field], concurrently=True), params=None)
