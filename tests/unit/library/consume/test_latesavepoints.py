"""A driver that cannot carry savepoints along: releases wait for the next savepoint, where nobody can tell.

What psycopg 3 carries is tried on a real PostgreSQL, in tests/integration/library/consume.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from django.db.backends.base.operations import BaseDatabaseOperations

from django_outbox import latesavepoints
from django_outbox.latesavepoints import LateSavepoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

IN_TRANSACTION, FAILED = 2, 3


class _Operations(BaseDatabaseOperations):
    def quote_name(self, name: str) -> str:
        return name


class _Database:
    """A connection of Django's that remembers what is sent, and whose transaction is as a test says."""

    def __init__(self, vendor: str = "postgresql") -> None:
        self.vendor = vendor
        self.sent: list[str] = []
        self.ops = _Operations(cast("Any", self))
        self.wrap_database_errors = nullcontext()
        driver = SimpleNamespace(execute=self.sent.append)
        self.connection = SimpleNamespace(
            info=SimpleNamespace(transaction_status=IN_TRANSACTION), cursor=lambda: nullcontext(driver)
        )

    def ensure_connection(self) -> None:
        """It is connected."""

    @contextmanager
    def execute_wrapper(self, _wrapper: Any) -> Iterator[None]:
        yield

    def _savepoint(self, sid: str) -> None:
        self.sent.append(f"at once: {sid}")

    _savepoint_commit = _savepoint_rollback = _savepoint

    def make(self, *sids: str) -> None:
        for sid in sids:
            self._savepoint(sid)

    def release(self, *sids: str) -> None:
        for sid in sids:
            self._savepoint_commit(sid)

    def undo(self, sid: str) -> None:
        self._savepoint_rollback(sid)

    def fail(self, *, failed: bool = True) -> None:
        self.connection.info.transaction_status = FAILED if failed else IN_TRANSACTION


def _late(database: _Database) -> LateSavepoints:
    return LateSavepoints(cast("BaseDatabaseWrapper", database))


def test_a_release_goes_with_the_next_savepoint_and_the_last_one_with_the_transaction() -> None:
    database = _Database()
    with _late(database):
        for name in ("a", "b"):
            database.make(name)
            database.release(name)
    assert database.sent == ["SAVEPOINT a", "RELEASE SAVEPOINT a; SAVEPOINT b"]


def test_nested_savepoints_are_released_in_their_order() -> None:
    database = _Database()
    with _late(database):
        database.make("a", "b")
        database.release("b", "a")
        database.make("c")
    assert database.sent[2:] == ["RELEASE SAVEPOINT b; RELEASE SAVEPOINT a; SAVEPOINT c"]


def test_a_transaction_that_failed_hears_of_a_release_at_once() -> None:
    database = _Database()
    with _late(database):
        database.make("a")
        database.fail()
        database.release("a")
    assert database.sent[-1] == "RELEASE SAVEPOINT a"


def test_going_back_in_a_failed_transaction_takes_what_was_not_released_along() -> None:
    database = _Database()
    with _late(database):
        database.make("a", "b")
        database.release("b")
        database.fail()
        database.undo("a")
        database.fail(failed=False)
        database.release("a")
        database.make("c")
    assert database.sent[-2:] == ["ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a; SAVEPOINT c"]


def test_going_back_in_a_sound_transaction_releases_first() -> None:
    database = _Database()
    with _late(database):
        database.make("a", "b")
        database.release("b")
        database.undo("a")
    assert database.sent[-1] == "RELEASE SAVEPOINT b; ROLLBACK TO SAVEPOINT a"


@pytest.mark.parametrize("vendor", ["mysql", "sqlite"])
def test_other_databases_are_told_at_once(vendor: str) -> None:
    database = _Database(vendor)
    with _late(database):
        database.make("a")
        database.release("a")
    assert database.sent == ["at once: a", "at once: a"]


def test_django_is_itself_again_after_the_block() -> None:
    database = _Database()
    with _late(database):
        pass
    database.make("a")
    assert database.sent == ["at once: a"]


def test_drivers_number_the_state_of_a_transaction_alike() -> None:
    psycopg, psycopg2 = pytest.importorskip("psycopg"), pytest.importorskip("psycopg2.extensions")
    assert psycopg.pq.TransactionStatus.INTRANS == IN_TRANSACTION == latesavepoints._IN_TRANSACTION
    assert psycopg2.TRANSACTION_STATUS_INTRANS == IN_TRANSACTION
