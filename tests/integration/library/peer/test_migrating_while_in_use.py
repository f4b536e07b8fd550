"""``migrate`` of large tables that are in use: writers and readers go on, whatever transactions are open meanwhile."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.library.peer.peer import UNUSED_BROKER
from tests.integration.library.publish.publisher import Project
from tests.rig.peers import FIRST, LAST
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.library.peer.peer import Peer
    from tests.integration.library.publish.publisher import Database

ROWS = 300_000
# An attempt of ours to get a table lasts half a second; the rest is room for a machine with other things to do.
LONGEST_STALL_SECONDS = 4
ALL = "id, destination, body, added, expires_at, retry, status"
NEW = "gen_random_uuid(), '/topic/x', '{}', now(), now(), 0, 2"
WRITES = {
    FIRST: f"INSERT INTO published ({ALL}, version) VALUES ({NEW}, 'v1')",
    LAST: f"INSERT INTO published ({ALL}, headers) VALUES ({NEW}, '{{}}')",
}
RECEIVES = """
    INSERT INTO received (id, msg_id, headers, body, added, expires_at, retry, status)
    VALUES (gen_random_uuid(), %s, '{}', '{}', now(), now(), 0, 2)
"""


@dataclass
class Client:
    """Runs statements all the time, as an application does, and notes the longest and what went wrong."""

    work: Callable[[psycopg.Connection[Any]], None]
    longest: float = 0.0
    done: int = 0
    failures: list[str] = field(default_factory=list)

    def run(self, database: Database, stop: threading.Event) -> None:
        with _connection(database) as connection:
            connection.execute(f"SET lock_timeout = {int(LONGEST_STALL_SECONDS * 1000)}")
            while not stop.wait(0.002):
                begun = time.monotonic()
                try:
                    self.work(connection)
                except psycopg.Error as error:
                    self.failures.append(str(error))
                self.longest = max(self.longest, time.monotonic() - begun)
                self.done += 1


def _connection(database: Database) -> psycopg.Connection[Any]:
    return database.server.connect(database.name)


@contextmanager
def _in_use(database: Database, clients: list[Client]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=client.run, args=(database, stop)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        state = lambda: str([client.failures for client in clients])  # noqa: E731
        wait_until("everybody works", lambda: all(client.done for client in clients), seconds=20, state=state)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


WAITS_FOR_A_TABLE = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND NOT granted"


@contextmanager
def _long_transaction(database: Database) -> Iterator[None]:
    """Hold what a publisher of the peer holds: one transaction with row locks over its whole backlog.

    It lasts until somebody has waited for the table, and then longer than anybody behind him may be kept waiting.
    """

    def hold() -> None:
        with _connection(database) as connection, connection.transaction():
            connection.execute("SELECT id FROM published LIMIT 100 FOR UPDATE")
            held.set()
            wait_until("migrate waits", lambda: database.rows(WAITS_FOR_A_TABLE), seconds=100, every=0.05)
            connection.execute("SELECT pg_sleep(%s)", [LONGEST_STALL_SECONDS + 1])

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(20)
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("release", [FIRST, LAST])
def test_nobody_is_kept_waiting_while_large_tables_are_migrated(
    release: str, make_peer: Callable[..., Peer], database: Database, tmp_path: Path
) -> None:
    make_peer(release, database.django).migrate()
    many = f"generate_series(1, {ROWS})"
    database.rows(WRITES[release].replace("VALUES (", "SELECT ")[:-1] + f" FROM {many}")
    database.rows(RECEIVES.replace("VALUES (", "SELECT ").replace("%s", "n::text").rstrip()[:-1] + f" FROM {many} AS n")
    writers = [
        Client(lambda connection: connection.execute(WRITES[release]) and None),
        Client(lambda connection: connection.execute(RECEIVES, [uuid.uuid4().hex]) and None),
    ]
    readers = [
        Client(lambda connection: connection.execute("SELECT id FROM published WHERE status = 1 LIMIT 1") and None),
        Client(lambda connection: connection.execute("SELECT id FROM received WHERE msg_id = '77'") and None),
    ]
    ours = Project(database, UNUSED_BROKER, tmp_path)
    with _in_use(database, clients := writers + readers), _long_transaction(database):
        begun = time.monotonic()
        done = ours.manage("migrate", "--verbosity=0")
        took = time.monotonic() - begun
    print(f"{took:.1f} s; the longest stalls: {[round(client.longest, 3) for client in clients]} s")
    assert [client.failures for client in clients] == [[], [], [], []]
    assert "Waiting for a moment in which no transaction uses" in done.stderr
    assert "received_msg_legacy_uniq" in str(database.rows("SELECT indexname FROM pg_indexes"))
