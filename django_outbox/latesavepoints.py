"""Savepoints without a round trip of their own: PostgreSQL is told of them with the statement that comes next.

``groups.py`` opens ``LateSavepoints`` round the callbacks of a group. With psycopg 3, whose cursors in Django send
finished SQL, ``RELEASE a; SAVEPOINT b; INSERT ...`` is one message; what is put off and then not needed is never sent.
Whatever else goes to the server, also past Django, has what was put off sent before it. With psycopg 2 a release goes
with the next savepoint, and other databases are told at once.

Nobody can tell: a savepoint stands before the first statement after it, and until a release what is written stands
where it would without one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from django.db.backends.base.base import BaseDatabaseWrapper

# PQTRANS_INTRANS of libpq; psycopg 2 and 3 give its number.
_IN_TRANSACTION = 2


class LateSavepoints:
    """Within the block what Django says of savepoints waits; a transaction is open round it."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection: Any = connection
        self._held: list[str] = []
        self._watching = connection.execute_wrapper(self._before_statement)
        self._driver: Any = None
        """The connection of psycopg 3 that carries savepoints along, while it is guarded."""

    def __enter__(self) -> Self:
        connection = self._connection
        if connection.vendor != "postgresql":
            return self
        connection.ensure_connection()
        connection._savepoint = self._make
        connection._savepoint_rollback = self._undo
        connection._savepoint_commit = self._release
        if _carries(connection.connection):
            self._driver = connection.connection
            self._driver.wait = self._wait
            self._watching.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The end of the transaction, which comes next, releases the last ones.
        if self._connection.vendor != "postgresql":
            return
        del self._connection._savepoint, self._connection._savepoint_rollback, self._connection._savepoint_commit
        if self._driver is not None:
            del self._driver.wait
            self._watching.__exit__(kind, error, traceback)

    def _make(self, sid: str) -> None:
        sql = self._connection.ops.savepoint_create_sql(sid)
        if self._driver is not None and self._is_sound():
            self._held.append(sql)
        else:
            self._say(sql)

    def _release(self, sid: str) -> None:
        sql = self._connection.ops.savepoint_commit_sql(sid)
        if not self._is_sound():
            self._say(sql)  # Django is to hear what the database says of that.
        elif (unsaid := self._unsaid(sid)) is not None:
            # The server never hears of what was not used.
            del self._held[unsaid:]
        else:
            self._held.append(sql)

    def _undo(self, sid: str) -> None:
        if self._is_sound():
            if (unsaid := self._unsaid(sid)) is not None:
                del self._held[unsaid + 1 :]
                return
        else:
            # What was made after the savepoint that a failed transaction goes back to is gone with it.
            self._held.clear()
        self._say(self._connection.ops.savepoint_rollback_sql(sid))

    def _unsaid(self, sid: str) -> int | None:
        """Return where a savepoint stands among what the server has not been told."""
        made = self._connection.ops.savepoint_create_sql(sid)
        return self._held.index(made) if made in self._held else None

    def _say(self, sql: str) -> None:
        with self._connection.wrap_database_errors, self._connection.connection.cursor() as cursor:
            cursor.execute("; ".join([*self._taken(), sql]))

    def _taken(self) -> list[str]:
        """Return what is held, which from now on counts as said."""
        held, self._held = self._held, []
        return held

    def _is_sound(self) -> bool:
        """Tell whether the open transaction can go on, as far as the driver knows; nothing is sent to ask."""
        if self._driver is not None:
            return bool(self._driver.pgconn.transaction_status == _IN_TRANSACTION)
        return bool(self._connection.connection.info.transaction_status == _IN_TRANSACTION)

    def _before_statement(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if self._held and not many and self._can_be_joined(sql, context):
            return self._joined(execute, sql, params, context)
        return execute(sql, params, many, context)

    def _can_be_joined(self, sql: Any, context: dict[str, Any]) -> bool:
        cursor = getattr(context.get("cursor"), "cursor", None)
        # The SQL of a named cursor is put into a DECLARE, and COPY stands alone.
        is_plain = hasattr(cursor, "mogrify") and not hasattr(cursor, "name")
        return is_plain and isinstance(sql, str) and sql.lstrip()[:4].upper() != "COPY"

    def _joined(self, execute: Callable[..., Any], sql: str, params: Any, context: dict[str, Any]) -> Any:
        cursor = context["cursor"].cursor
        with self._connection.wrap_database_errors:
            finished = cursor.mogrify(sql, params)
        held = self._taken()
        done = execute("; ".join([*held, finished]), None, False, context)
        # Each of the statements has a result; the last one is what was asked for.
        for _ in held:
            cursor.nextset()
        return done

    def _wait(self, generator: Any, *arguments: Any, **options: Any) -> Any:
        """Stand in for the driver's own method, which everything passes that goes to the server."""
        if self._held:
            # Should it fail, the transaction has, and what comes next says so.
            self._driver.pgconn.exec_("; ".join(self._taken()).encode())
        return type(self._driver).wait(self._driver, generator, *arguments, **options)


def _carries(driver: Any) -> bool:
    """Tell whether a driver's connection can be given several statements at once, and be guarded."""
    # Only psycopg 3 has it. A statement that the server prepares stands alone, and so does one whose values it binds.
    is_guarded = hasattr(driver, "pgconn") and hasattr(driver, "wait")
    return is_guarded and driver.prepare_threshold is None and hasattr(driver.cursor_factory, "mogrify")
