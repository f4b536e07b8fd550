"""Does what needs a table for itself in a moment in which nobody uses it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from django.db import OperationalError, transaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.models import Model

logger = logging.getLogger("django_outbox_pattern")

# The longest that others wait behind one attempt, and how long they are let through between two.
_LOCK_MILLISECONDS = 500
_LOCK_SECONDS_ON_MYSQL = 1
_PAUSE_SECONDS = 2.0
_PATIENCE_SECONDS = 900.0

_POSTGRESQL_LOCK_NOT_AVAILABLE = "55P03"
_MYSQL_LOCK_WAIT_TIMEOUT = 1205


def patiently(schema_editor: BaseDatabaseSchemaEditor, models: list[type[Model]], work: Callable[[], Any]) -> None:
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
