"""Operations on whole tables: a lock on several, their ids' type, a default that the database keeps."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db.migrations.operations.base import Operation

from django_outbox.operations.catalog import key_is_text
from django_outbox.operations.patience import patiently

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState


class OnTables(Operation):
    """Does something to the tables of some models that neither changes the state nor is to be undone."""

    reversible = True

    def __init__(self, *models: str) -> None:
        self.models = models

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing."""

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Do nothing."""


class TakeTables(OnTables):
    """Lock tables for the rest of an atomic migration, patiently; PostgreSQL only, nothing elsewhere.

    Comes first where one migration changes two tables: otherwise the first is held while the second is waited for.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        """Take the locks."""
        models = [from_state.apps.get_model(app_label, name) for name in self.models]
        wanted = [m for m in models if self.allow_migrate_model(schema_editor.connection.alias, m)]
        if wanted and schema_editor.connection.vendor == "postgresql":
            patiently(schema_editor, wanted, lambda: None)

    def describe(self) -> str:
        """Return what ``migrate`` prints."""
        return f"Wait for a moment in which nobody uses {', '.join(self.models)}"


class UseNativeIds(OnTables):
    """Give the primary keys MariaDB's own type where they are still text and Django expects otherwise.

    Django 4.2 made them 32 characters wide there; Django 5 writes 36 and finds none of the old ones. Changing the type
    copies the table, and writers wait that long. Rows stay readable for Django 4.2, so there is no way back to go.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        """Change the types, of those tables that need it."""
        connection = schema_editor.connection
        if connection.vendor != "mysql" or not connection.features.has_native_uuid_field:
            return
        for name in self.models:
            model = from_state.apps.get_model(app_label, name)
            if self.allow_migrate_model(connection.alias, model) and key_is_text(schema_editor, model):
                table, key = schema_editor.quote_name(model._meta.db_table), schema_editor.quote_name("id")
                change = f"ALTER TABLE {table} MODIFY {key} uuid NOT NULL"
                patiently(schema_editor, [model], partial(schema_editor.execute, change, params=None))

    def describe(self) -> str:
        """Return what ``migrate`` prints."""
        return f"Give the ids of {', '.join(self.models)} the type that Django expects on MariaDB"


def keep_default_in_database(table: str, column: str) -> Callable[[Any, BaseDatabaseSchemaEditor], None]:
    """Return a ``RunPython`` step after which the database itself fills a JSON column with {}.

    For writers that do not know the column yet. SQLite cannot change a default and has no such writers.
    """
    empty = {"postgresql": "'{}'", "mysql": "('{}')"}

    def step(_apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
        default = empty.get(schema_editor.connection.vendor)
        if default is not None:
            quote = schema_editor.quote_name
            schema_editor.execute(
                f"ALTER TABLE {quote(table)} ALTER COLUMN {quote(column)} SET DEFAULT {default}", params=None
            )

    return step
