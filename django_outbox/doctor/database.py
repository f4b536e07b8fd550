"""The doctor on the database: reached, migrated, indexed, writable, and of the same time as this machine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connections, transaction
from django.db import Error as DatabaseTrouble

from django_outbox import inbox
from django_outbox.doctor.findings import fail, ok, sentence, warn
from django_outbox.doctor.migrations import APP_LABEL, pending_of
from django_outbox.outbox import published_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models import Model

    from django_outbox.doctor.findings import Finding

# Times in rows are of this machine, leases and retries of the database.
TOLERATED_SECONDS = 5.0

_CLOCKS = {"postgresql": "SELECT extract(epoch FROM clock_timestamp())", "mysql": "SELECT unix_timestamp(now(6))"}
# An index whose making was interrupted stays behind, is kept up to date, and is used by nobody.
_INVALID = (
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = to_regclass(quote_ident(%s)) AND NOT i.indisvalid"
)


def examine(using: str) -> Iterator[Finding]:
    """Yield what is found; after a database that does not answer there is nothing more to ask."""
    connection = connections[using]
    try:
        started = time.perf_counter()
        connection.ensure_connection()
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        milliseconds = (time.perf_counter() - started) * 1000
    except DatabaseTrouble as error:
        advice = f"Check that the server runs, and HOST, PORT, NAME, USER and PASSWORD of DATABASES[{using!r}]."
        yield fail("database", f"It does not answer: {sentence(error)}", advice)
        return
    yield ok("database", f"{connection.display_name} answers as {using!r} after {milliseconds:.0f} ms.")
    yield _migrations(connection)
    for model in _models():
        yield _indexes(connection, model)
        yield _writing(using, model)
    yield _clock(connection)


def _models() -> tuple[type[Model], type[Model]]:
    return published_model(), inbox.received_class()


def _migrations(connection: BaseDatabaseWrapper) -> Finding:
    try:
        missing = [name.partition(".")[2] for name in pending_of(connection, APP_LABEL)]
    except DatabaseError as error:
        return fail("migrations", f"They cannot be read: {sentence(error)}", "Run manage.py migrate.")
    if missing:
        return fail("migrations", f"Not applied: {', '.join(missing)}.", "Run manage.py migrate.")
    return ok("migrations", "All are applied.")


def _indexes(connection: BaseDatabaseWrapper, model: type[Model]) -> Finding:
    table = model._meta.db_table
    name = f"indexes of {table}"
    declared: list[Any] = [*model._meta.indexes, *model._meta.constraints]
    # Elsewhere Django leaves those out that have a condition, or the migrations put something else in their place.
    partial = connection.features.supports_partial_indexes
    wanted = {item.name for item in declared if partial or getattr(item, "condition", None) is None}
    try:
        with connection.cursor() as cursor:
            present = set(connection.introspection.get_constraints(cursor, table))
            if connection.vendor == "postgresql":
                cursor.execute(_INVALID, [table])
                present -= {row[0] for row in cursor.fetchall()}
    except DatabaseError as error:
        return fail(name, f"They cannot be read: {sentence(error)}", "Run manage.py migrate.")
    missing = sorted(wanted - present)
    if missing:
        advice = "Statements read the whole table without them. Create them as `manage.py sqlmigrate` shows."
        return warn(name, f"Missing or not valid: {', '.join(missing)}.", advice)
    return ok(name, f"All {len(wanted)} are there.")


def _writing(using: str, model: type[Model]) -> Finding:
    """Write, change and remove a row, all of it rolled back."""
    table = model._meta.db_table
    name = f"rights on {table}"
    row: Any = model(body={}, **({"destination": "/queue/outbox-doctor"} if model is published_model() else {}))
    try:
        with transaction.atomic(using=using):
            row.save(using=using)
            row.save(using=using, update_fields=["retry"])
            model._base_manager.using(using).filter(pk=row.pk).delete()
            transaction.set_rollback(True, using=using)
    except DatabaseError as error:
        advice = f"Grant the database's user SELECT, INSERT, UPDATE and DELETE on {table}."
        return fail(name, f"A row cannot be written: {sentence(error)}", advice)
    return ok(name, "A row was written, changed and removed, and all of it rolled back.")


def _clock(connection: BaseDatabaseWrapper) -> Finding:
    statement = _CLOCKS.get(connection.vendor)
    if statement is None:
        return ok("clock", "The database has this machine's clock.")
    before = time.time()
    with connection.cursor() as cursor:
        cursor.execute(statement)
        (theirs,) = cursor.fetchone() or (before,)
    after = time.time()
    # Somewhere between asking and hearing the clock was read.
    difference = max(before - float(theirs), float(theirs) - after, 0.0)
    if difference > TOLERATED_SECONDS:
        advice = "Ages, lags and retention are wrong by that much. Let both machines follow a time server (NTP)."
        return warn("clock", f"This machine and the database differ by {difference:.1f} s.", advice)
    return ok("clock", f"This machine and the database agree within {max(difference, after - before):.2f} s.")
