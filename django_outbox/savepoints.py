"""The savepoints that keep callbacks apart which share a transaction.

A callback's own ``transaction.atomic()`` is a savepoint within the shared transaction, so what fails in it is undone as
ever. What it writes outside of one is protected by a savepoint of ours, made just before the first such statement: most
callbacks need none. ``groups.py`` opens a ``SpareSavepoint`` round each callback, within ``LateSavepoints``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from django.db.backends.base.base import BaseDatabaseWrapper

# What Django says of savepoints needs none.
_CONTROL = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")


class SpareSavepoint:
    """A savepoint for the statements of a block that are in no savepoint of their own; a transaction is open round it.

    In the block it watches; after it, call ``undo`` or ``keep``. Both raise what the database raises.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._depth = len(connection.savepoint_ids)
        self._sid: str | None = None

    def __enter__(self) -> Self:
        # Before all others: what it does about a statement must have been said when ``LateSavepoints`` sees it.
        self._connection.execute_wrappers.insert(0, self._before_statement)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection.execute_wrappers.remove(self._before_statement)

    def make_if_needed(self) -> None:
        """Protect what is done now, unless a savepoint of the block's own does."""
        ids = self._connection.savepoint_ids
        if not any(ids[self._depth :]):
            self._sid = _new_savepoint(self._connection)
            # Where Django looks when a savepoint is rolled back and hooks have to go with it.
            ids.insert(self._depth, self._sid)

    def undo(self) -> None:
        """Undo what the savepoint protects, with the hooks that wait for it to be committed."""
        sid = self._leave()
        if sid is not None:
            self._connection.needs_rollback = False
            self._connection.savepoint_rollback(sid)
            self._connection.savepoint_commit(sid)

    def keep(self) -> None:
        """Let the shared transaction have it."""
        sid = self._leave()
        if sid is not None:
            self._connection.savepoint_commit(sid)

    def _leave(self) -> str | None:
        if self._sid is not None:
            self._connection.savepoint_ids.remove(self._sid)
        return self._sid

    def _before_statement(
        self, execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        if not (isinstance(sql, str) and sql.startswith(_CONTROL)):
            self.make_if_needed()
        return execute(sql, params, many, context)


def prove_sound(connection: BaseDatabaseWrapper) -> None:
    """Raise what the database raises if the open transaction can only be rolled back.

    PostgreSQL answers the COMMIT of such a transaction without an error, by rolling back.
    """
    connection.savepoint_commit(_new_savepoint(connection))


def _new_savepoint(connection: BaseDatabaseWrapper) -> str:
    return cast("str", connection.savepoint())
