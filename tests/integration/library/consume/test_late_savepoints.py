"""Savepoints that travel with the next statement, on a real PostgreSQL: what is undone and kept is as without them."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import IntegrityError, transaction
from django.db.utils import ConnectionHandler

from django_outbox.latesavepoints import LateSavepoints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django.plugin import DjangoDbBlocker

    from tests.rig.hostservices import Postgres

INSERT = "INSERT INTO t VALUES (%s) RETURNING n"


class Table:
    """A table of numbers, seen through Django's connection; counts what is sent to the server."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.sent = 0

    def add(self, number: int) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(INSERT, [number])
            assert cursor.rowcount == 1
            (found,) = cursor.fetchone()
            return int(found)

    def numbers(self) -> list[int]:
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT n FROM t ORDER BY n")
            return [row[0] for row in cursor.fetchall()]


@pytest.fixture
def table(postgres: Postgres, django_db_blocker: DjangoDbBlocker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    name = f"late_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    handler = ConnectionHandler({"default": postgres.django(name)})
    monkeypatch.setattr(transaction, "connections", handler)
    found = Table(handler["default"])
    driven = psycopg.Connection.wait

    def wait(self: Any, *arguments: Any, **options: Any) -> Any:
        found.sent += 1
        return driven(self, *arguments, **options)

    with django_db_blocker.unblock():
        with found.connection.cursor() as cursor:
            cursor.execute("CREATE TABLE t (n int PRIMARY KEY)")
        monkeypatch.setattr(psycopg.Connection, "wait", wait)
        yield found
        found.connection.close()
    postgres.drop_database(name)


@pytest.fixture
def group(table: Table) -> Iterator[Table]:
    """Within a shared transaction that has begun, as the second message of a group is."""
    with transaction.atomic(), LateSavepoints(table.connection):
        table.add(0)
        yield table


def refused(work: Callable[[], object]) -> None:
    """Do something in a savepoint that is then undone."""
    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        work()
        raise ZeroDivisionError


def test_a_savepoint_costs_no_message_of_its_own(group: Table) -> None:
    before = group.sent
    for number in (1, 2, 3):
        with transaction.atomic():
            assert group.add(number) == number
    assert group.sent - before == 3
    assert group.numbers() == [0, 1, 2, 3]


def test_what_is_not_used_is_never_sent(group: Table) -> None:
    before = group.sent
    with transaction.atomic(), transaction.atomic():
        pass
    refused(lambda: None)
    assert group.sent == before
    assert group.numbers() == [0]


def test_what_fails_is_undone_and_the_rest_stays(group: Table) -> None:
    with transaction.atomic():
        group.add(1)
        refused(lambda: group.add(2))
        refused(lambda: None)
        group.add(3)

    def two_deep() -> None:
        group.add(4)
        with transaction.atomic():
            group.add(5)

    refused(two_deep)
    assert group.numbers() == [0, 1, 3]


def test_an_error_of_the_database_undoes_its_own_savepoint(group: Table) -> None:
    with transaction.atomic():
        group.add(1)
        with pytest.raises(IntegrityError), transaction.atomic():
            group.add(1)
        group.add(2)
    with pytest.raises(IntegrityError), transaction.atomic():
        group.add(0)
    assert group.numbers() == [0, 1, 2]


def test_statements_past_django_are_protected_as_well(group: Table) -> None:
    driver, kept = group.connection.connection, group.connection.connection.cursor()
    refused(lambda: driver.execute("INSERT INTO t VALUES (1)"))
    refused(lambda: kept.execute("INSERT INTO t VALUES (2)"))

    def copy() -> None:
        with group.connection.cursor() as cursor, cursor.copy("COPY t (n) FROM STDIN") as stream:
            stream.write("3\n")

    refused(copy)
    with transaction.atomic():
        copy()
    assert group.numbers() == [0, 3]


def test_every_kind_of_statement_gives_its_own_result(group: Table) -> None:
    with transaction.atomic(), group.connection.cursor() as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s)", [(1,), (2,)])
    with transaction.atomic(), group.connection.cursor() as cursor:
        cursor.execute("UPDATE t SET n = n + 10 WHERE n > %s", [0])
        assert cursor.rowcount == 2
    with transaction.atomic(), group.connection.cursor() as cursor:
        cursor.execute("SELECT n, '100%' FROM t WHERE n > 0 ORDER BY n")
        assert [column.name for column in cursor.description] == ["n", "?column?"]
        assert cursor.fetchall() == [(11, "100%"), (12, "100%")]
    with transaction.atomic(), group.connection.chunked_cursor() as cursor:
        cursor.execute("SELECT n FROM t ORDER BY n")
        with transaction.atomic():
            assert cursor.fetchmany(2) == [(0,), (11,)]
        refused(lambda: group.add(1))
        assert cursor.fetchmany(2) == [(12,)]


def test_values_that_cannot_be_written_leave_the_savepoint_where_it_was(group: Table) -> None:
    with transaction.atomic():
        with pytest.raises(Exception, match="adapt"), transaction.atomic():
            group.add(object())  # type: ignore[arg-type]
        group.add(1)
    assert group.numbers() == [0, 1]


def test_the_driver_is_itself_again_after_the_block(table: Table) -> None:
    with transaction.atomic(), LateSavepoints(table.connection):
        table.add(1)
        with transaction.atomic():
            table.add(2)
    assert "wait" not in vars(table.connection.connection)
    assert table.numbers() == [1, 2]


@pytest.mark.parametrize("options", [{"server_side_binding": True}, {"prepare_threshold": 0}], ids=str)
def test_a_driver_that_sends_one_statement_at_a_time_is_told_at_once(table: Table, options: dict[str, Any]) -> None:
    table.connection.close()
    table.connection.settings_dict["OPTIONS"] = options
    with transaction.atomic(), LateSavepoints(table.connection):
        table.add(0)
        with transaction.atomic():
            table.add(1)
        refused(lambda: table.add(2))
    assert table.numbers() == [0, 1]
