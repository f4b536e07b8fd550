"""A driver that cannot carry savepoints along: releases wait for the next savepoint, where nobody can tell."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from django_outbox import latesavepoints
from django_outbox.latesavepoints import LateSavepoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper

IN_TRANSACTION, FAILED = 2, 3


class _Database:
    """A connection that remembers what is sent, and whose transaction is as a test says."""

    def __init__(self, vendor: str = "postgresql") -> None:
        self.vendor = vendor
        self.sent: list[str] = []
        self.connection = SimpleNamespace(info=SimpleNamespace(transaction_status=IN_TRANSACTION))
        self._wrappers: list[Any] = []

    def ensure_connection(self) -> None:
        """It is connected."""

    @contextmanager
    def execute_wrapper(self, wrapper: Any) -> Iterator[None]:
        self._wrappers.append(wrapper)
        yield
        self._wrappers.pop()

    def execute(self, *statements: str) -> None:
        def send(sql: str, *_: Any) -> None:
            self.sent.append(sql)

        for sql in statements:
            if self._wrappers:
                self._wrappers[-1](send, sql, None, False, {})
            else:
                send(sql)


def _late(database: _Database) -> LateSavepoints:
    return LateSavepoints(cast("BaseDatabaseWrapper", database))


def test_a_release_goes_with_the_next_savepoint_and_the_last_one_with_the_transaction() -> None:
    database = _Database()
    with _late(database):
        for name in ("a", "b"):
            database.execute(f"SAVEPOINT {name}", f"INSERT {name}", f"RELEASE SAVEPOINT {name}")
    assert database.sent == ["SAVEPOINT a", "INSERT a", "RELEASE SAVEPOINT a; SAVEPOINT b", "INSERT b"]


def test_nested_savepoints_are_released_in_their_order() -> None:
    database = _Database()
    with _late(database):
        database.execute("SAVEPOINT a", "SAVEPOINT b", "RELEASE SAVEPOINT b", "INSERT", "RELEASE SAVEPOINT a")
        database.execute("SAVEPOINT c")
    assert database.sent[2:] == ["INSERT", "RELEASE SAVEPOINT b; RELEASE SAVEPOINT a; SAVEPOINT c"]


def test_a_transaction_that_failed_hears_of_a_release_at_once() -> None:
    database = _Database()
    with _late(database):
        database.execute("SAVEPOINT a", "INSERT")
        database.connection.info.transaction_status = FAILED
        database.execute("RELEASE SAVEPOINT a")
    assert database.sent[-1] == "RELEASE SAVEPOINT a"


def test_going_back_in_a_failed_transaction_takes_what_was_not_released_along() -> None:
    database = _Database()
    with _late(database):
        database.execute("SAVEPOINT a", "SAVEPOINT b", "RELEASE SAVEPOINT b", "INSERT")
        database.connection.info.transaction_status = FAILED
        database.execute("ROLLBACK TO SAVEPOINT a")
        database.connection.info.transaction_status = IN_TRANSACTION
        database.execute("RELEASE SAVEPOINT a", "SAVEPOINT c")
    assert database.sent[-2:] == ["ROLLBACK TO SAVEPOINT a", "RELEASE SAVEPOINT a; SAVEPOINT c"]


def test_going_back_in_a_sound_transaction_releases_first() -> None:
    database = _Database()
    with _late(database):
        database.execute("SAVEPOINT a", "SAVEPOINT b", "RELEASE SAVEPOINT b", "ROLLBACK TO SAVEPOINT a")
    assert database.sent[-1] == "RELEASE SAVEPOINT b; ROLLBACK TO SAVEPOINT a"


@pytest.mark.parametrize("vendor", ["mysql", "sqlite"])
def test_other_databases_are_told_at_once(vendor: str) -> None:
    database = _Database(vendor)
    with _late(database):
        database.execute("SAVEPOINT a", "RELEASE SAVEPOINT a")
    assert database.sent == ["SAVEPOINT a", "RELEASE SAVEPOINT a"]


def test_drivers_number_the_state_of_a_transaction_alike() -> None:
    psycopg, psycopg2 = pytest.importorskip("psycopg"), pytest.importorskip("psycopg2.extensions")
    assert psycopg.pq.TransactionStatus.INTRANS == IN_TRANSACTION == latesavepoints._IN_TRANSACTION
    assert psycopg2.TRANSACTION_STATUS_INTRANS == IN_TRANSACTION
