"""Migration operations for tables in use: nobody waits long for them, and an interrupted run can be repeated.

Indexes and constraints are built concurrently on PostgreSQL, elsewhere in Django's usual way; those must be in a
migration with ``atomic = False``. What needs a table for itself (a new column, a constraint taken over) needs it for a
moment, but to get it must wait for every transaction that uses the table, and whoever comes meanwhile waits behind it.
So it is asked for with a short limit and asked for again later, see ``_patiently``.
"""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, transaction
from django.db.migrations.operations import AddConstraint, AddField, AddIndex, AlterField, RemoveIndex
from django.db.migrations.operations.base import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import ProjectState
    from django.db.models import Model

logger = logging.getLogger("django_outbox_pattern")

# The longest that others wait behind one attempt, and how long they are let through between two.
_LOCK_MILLISECONDS = 500
_LOCK_SECONDS_ON_MYSQL = 1
_PAUSE_SECONDS = 2.0
_PATIENCE_SECONDS = 900.0

_POSTGRESQL_LOCK_NOT_AVAILABLE = "55P03"
_MYSQL_LOCK_WAIT_TIMEOUT = 1205


class TakeTables(Operation):
    """Lock tables for the rest of an atomic migration, patiently; PostgreSQL only, nothing elsewhere.

    Comes first where one migration changes two tables: otherwise the first is held while the second is waited for.
    """

    reversible = True

    def __init__(self, *models: str) -> None:
        self.models = models

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing."""

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
            _patiently(schema_editor, wanted, lambda: None)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Do nothing."""

    def describe(self) -> str:
        """Return what ``migrate`` prints."""
        return f"Wait for a moment in which nobody uses {', '.join(self.models)}"


class UseNativeIds(Operation):
    """Give the primary keys MariaDB's own type where they are still text and Django expects otherwise.

    Django 4.2 made them 32 characters wide there; Django 5 writes 36 and finds none of the old ones. Changing the type
    copies the table, and writers wait that long. Rows stay readable for Django 4.2, so there is no way back to go.
    """

    reversible = True

    def __init__(self, *models: str) -> None:
        self.models = models

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing."""

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
            if self.allow_migrate_model(connection.alias, model) and _key_is_text(schema_editor, model):
                table, key = schema_editor.quote_name(model._meta.db_table), schema_editor.quote_name("id")
                change = f"ALTER TABLE {table} MODIFY {key} uuid NOT NULL"
                _patiently(schema_editor, [model], partial(schema_editor.execute, change, params=None))

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Do nothing."""

    def describe(self) -> str:
        """Return what ``migrate`` prints."""
        return f"Give the ids of {', '.join(self.models)} the type that Django expects on MariaDB"


class AddFieldOnline(AddField):
    """Add a column that may be null or has a default that the database can keep, without a long lock."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Add the column, unless a run that was interrupted has done so."""
        model = to_state.apps.get_model(app_label, self.model_name)
        column: Any = model._meta.get_field(self.name)
        if schema_editor.connection.vendor == "mysql" and column.column in _columns(schema_editor, model):
            return
        forwards = super().database_forwards
        _patiently(schema_editor, [model], lambda: forwards(app_label, schema_editor, from_state, to_state))


class AlterFieldOnline(AlterField):
    """Change what needs no look at the rows (null, a unique index less), without a long lock."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Change the column."""
        model = to_state.apps.get_model(app_label, self.model_name)
        forwards = super().database_forwards
        _patiently(schema_editor, [model], lambda: forwards(app_label, schema_editor, from_state, to_state))


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
            if _is_to_be_built(editor, editor._create_index_name(model._meta.db_table, [field.column])):
                editor.execute(editor._create_index_sql(model, fields=[field], concurrently=True), params=None)


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
        if self.allow_migrate_model(schema_editor.connection.alias, model) and _is_to_be_built(
            schema_editor, self.index.name
        ):
            editor: Any = schema_editor
            editor.add_index(model, self.index, concurrently=True)


class AddPartialIndexOnline(AddIndexOnline):
    """Add an index that is of use only with its condition; a database without such indexes (MySQL) gets none."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Build the index where that is possible."""
        if schema_editor.connection.features.supports_partial_indexes:
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Remove it where it was built."""
        if schema_editor.connection.features.supports_partial_indexes:
            super().database_backwards(app_label, schema_editor, from_state, to_state)


class RemoveIndexOnline(RemoveIndex):
    """Remove an index without locking writers out."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Drop the index."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = from_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            editor: Any = schema_editor
            index = from_state.models[app_label, self.model_name_lower].get_index_by_name(self.name)
            editor.remove_index(model, index, concurrently=True)


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
        elif vendor == "mysql" and constraint.name in _constraints(schema_editor, model):
            return
        elif vendor == "mysql" and constraint.condition is not None:
            _patiently(schema_editor, [model], lambda: self._emulate(schema_editor, model))
        else:
            forwards = super().database_forwards
            _patiently(schema_editor, [model], lambda: forwards(app_label, schema_editor, from_state, to_state))

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
        if _is_to_be_built(schema_editor, constraint.name):
            schema_editor.execute(self._index_sql(schema_editor, model, "CONCURRENTLY "), params=None)
        if constraint.condition is None and not _is_constraint(schema_editor, constraint.name):
            take_over = f"ALTER TABLE {table} ADD CONSTRAINT {name} UNIQUE USING INDEX {name}"
            _patiently(schema_editor, [model], lambda: schema_editor.execute(take_over, params=None))

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


def _patiently(schema_editor: BaseDatabaseSchemaEditor, models: list[type[Model]], work: Callable[[], Any]) -> None:
    """Do something that needs tables for itself, once nobody uses them; in between, others are let through."""
    connection = schema_editor.connection
    tables = ", ".join(schema_editor.quote_name(model._meta.db_table) for model in models)
    if connection.vendor not in {"postgresql", "mysql"} or getattr(schema_editor, "collect_sql", False):
        work()
        return
    attempt = _attempt_on_postgresql if connection.vendor == "postgresql" else _attempt_on_mysql
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not attempt(connection, tables, work):
        if time.monotonic() > deadline:
            raise OperationalError(
                f"{tables}: other transactions have been using it for {_PATIENCE_SECONDS:.0f} s without a pause. "
                "End the oldest of them, most often a publisher of django-outbox-pattern, and run migrate again."
            )
        logger.warning("Waiting for a moment in which no transaction uses %s", tables)
        time.sleep(_PAUSE_SECONDS)


def _attempt_on_postgresql(connection: BaseDatabaseWrapper, tables: str, work: Callable[[], Any]) -> bool:
    try:
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_MILLISECONDS}")
                cursor.execute(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            work()
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", getattr(error.__cause__, "pgcode", "")) != (
            _POSTGRESQL_LOCK_NOT_AVAILABLE
        ):
            raise
        return False
    return True


def _attempt_on_mysql(connection: BaseDatabaseWrapper, tables: str, work: Callable[[], Any]) -> bool:  # noqa: ARG001
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.lock_wait_timeout")
        before = cursor.fetchone()[0]
        cursor.execute("SET SESSION lock_wait_timeout = %s", [_LOCK_SECONDS_ON_MYSQL])
        try:
            work()
        except OperationalError as error:
            if error.args[:1] != (_MYSQL_LOCK_WAIT_TIMEOUT,):
                raise
            return False
        finally:
            cursor.execute("SET SESSION lock_wait_timeout = %s", [before])
    return True


def _is_to_be_built(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
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


def _is_constraint(schema_editor: BaseDatabaseSchemaEditor, name: str) -> bool:
    if getattr(schema_editor, "collect_sql", False):
        return False
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid"
            " WHERE conname = %s AND pg_table_is_visible(pg_class.oid)",
            [name],
        )
        return cursor.fetchone() is not None


def _key_is_text(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> bool:
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT data_type FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s",
            [model._meta.db_table, "id"],
        )
        found = cursor.fetchone()
    return found is not None and found[0] == "char"


def _columns(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> set[str]:
    introspection = schema_editor.connection.introspection
    with schema_editor.connection.cursor() as cursor:
        return {column.name for column in introspection.get_table_description(cursor, model._meta.db_table)}


def _constraints(schema_editor: BaseDatabaseSchemaEditor, model: type[Model]) -> set[str]:
    introspection = schema_editor.connection.introspection
    with schema_editor.connection.cursor() as cursor:
        return set(introspection.get_constraints(cursor, model._meta.db_table))
