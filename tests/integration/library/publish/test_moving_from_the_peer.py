"""A database that django-outbox-pattern made becomes ours by ``migrate`` alone, while it is in use."""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.integration.library.publish.publisher import SUCCEEDED
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue

APP = "django_outbox_pattern"
# The statements of its workers, column by column: they know none of ours.
PEER_PUBLISHES = """
    INSERT INTO published (id, version, destination, body, added, expires_at, retry, status, headers)
    VALUES (%s, NULL, %s, %s, now(), now() + interval '1 day', 0, %s, %s)
"""
PEER_RECEIVES = """
    INSERT INTO received (id, msg_id, headers, body, added, expires_at, retry, status)
    VALUES (%s, %s, '{}', '{}', now(), now() + interval '1 day', 0, 2)
"""


@pytest.fixture
def peers(empty_project: Project) -> Project:
    """A database as release 3.2.1 leaves it, with rows in it."""
    empty_project.manage("migrate", APP, "0006", "--verbosity=0")
    database = empty_project.database
    for status in (1, 2, -1):
        database.rows(
            PEER_PUBLISHES, uuid.uuid4(), "/topic/old", f'{{"status": {status}}}', status, '{"dop-msg-id": "x"}'
        )
    database.rows(PEER_RECEIVES, uuid.uuid4(), "old-message")
    database.rows(PEER_RECEIVES, uuid.uuid4(), None)
    return empty_project


def _everything(project: Project) -> list[tuple[Any, ...]]:
    published = "SELECT id, version, destination, body, added, expires_at, retry, status, headers FROM published"
    received = "SELECT id, msg_id, headers, body, added, expires_at, retry, status FROM received"
    return [row for sql in (published, received) for row in project.database.rows(f"{sql} ORDER BY id")]


def test_no_data_is_changed(peers: Project) -> None:
    before = _everything(peers)
    peers.manage("migrate", APP, "--verbosity=0")
    assert _everything(peers) == before
    assert "No changes" in peers.manage("makemigrations", APP, "--check", "--dry-run").stdout


def test_no_table_is_rewritten(peers: Project) -> None:
    files = (
        "SELECT relname, pg_relation_filenode(oid) FROM pg_class WHERE relname IN ('published', 'received') ORDER BY 1"
    )
    before = peers.database.rows(files)
    peers.manage("migrate", APP, "--verbosity=0")
    assert peers.database.rows(files) == before


def test_workers_of_the_peer_go_on_writing_after_the_migration(peers: Project, queue: Queue) -> None:
    peers.manage("migrate", APP, "--verbosity=0")
    peers.database.rows(PEER_PUBLISHES, uuid.uuid4(), queue.destination, '{"n": 7}', 1, "{}")
    peers.database.rows(PEER_RECEIVES, uuid.uuid4(), "new-message")
    with pytest.raises(psycopg.errors.UniqueViolation):
        peers.database.rows(PEER_RECEIVES, uuid.uuid4(), "old-message")
    publisher = peers.publish()
    publisher.wait_sent(3)
    assert queue.numbers().keys() == {7}


def test_what_waited_is_sent_and_what_was_finished_is_left_alone(peers: Project, queue: Queue) -> None:
    peers.database.rows(
        "UPDATE published SET destination = %s, body = '{\"n\": 1}' WHERE status = 1", queue.destination
    )
    peers.manage("migrate", APP, "--verbosity=0")
    publisher = peers.publish()
    publisher.wait_sent(2)
    assert queue.numbers() == {1: 1}
    assert peers.database.states() == {SUCCEEDED: 2, -1: 1}


@pytest.fixture
def busy(peers: Project) -> Iterator[list[str]]:
    """Workers that write to both tables all the time and wait for no lock longer than a moment; what they met."""
    failures: list[str] = []
    written = threading.Event()
    stop = threading.Event()

    def work() -> None:
        with peers.database.server.connect(peers.database.name) as connection:
            connection.execute("SET lock_timeout = '4s'")
            while not stop.is_set():
                try:
                    connection.execute(PEER_PUBLISHES, [uuid.uuid4(), "/topic/busy", "{}", 2, "{}"])
                    connection.execute(PEER_RECEIVES, [uuid.uuid4(), uuid.uuid4().hex])
                    written.set()
                except psycopg.Error as error:
                    failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    wait_until("the workers write", written.is_set, seconds=20, state=lambda: str(failures))
    yield failures
    stop.set()
    thread.join()


def test_nobody_is_locked_out_while_large_tables_are_migrated(peers: Project, busy: list[str]) -> None:
    peers.database.rows(
        "INSERT INTO received (id, msg_id, headers, body, added, expires_at, retry, status)"
        " SELECT gen_random_uuid(), n::text, '{}', '{}', now(), now(), 0, 2 FROM generate_series(1, 200000) AS n"
    )
    peers.manage("migrate", APP, "--verbosity=0")
    assert busy == []


def test_every_index_on_tables_in_use_is_built_concurrently(peers: Project) -> None:
    statements = "".join(peers.manage("sqlmigrate", APP, number).stdout for number in ("0007", "0008", "0009", "0011"))
    built = [line for line in statements.splitlines() if line.startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))]
    assert len(built) == 7
    assert all("INDEX CONCURRENTLY" in line for line in built)


def test_an_index_that_an_interrupted_migration_left_behind_is_built_anew(peers: Project) -> None:
    peers.manage("migrate", APP, "0007", "--verbosity=0")
    peers.database.rows("CREATE INDEX published_due_idx ON published (added) WHERE status = 1")
    peers.database.rows("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'published_due_idx'::regclass")
    peers.manage("migrate", APP, "0008", "--verbosity=0")
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'published_due_idx'::regclass"
    assert peers.database.rows(valid) == [(True,)]


def test_the_way_back_is_open(peers: Project) -> None:
    before = _everything(peers)
    peers.manage("migrate", APP, "--verbosity=0")
    peers.manage("migrate", APP, "0006", "--verbosity=0")
    assert _everything(peers) == before
    with pytest.raises(psycopg.errors.UniqueViolation):
        peers.database.rows(PEER_RECEIVES, uuid.uuid4(), "old-message")


def test_two_consumers_may_each_record_the_same_message_and_none_twice(peers: Project) -> None:
    peers.manage("migrate", APP, "--verbosity=0")
    ours = PEER_RECEIVES.replace("msg_id,", "msg_id, consumer,").replace("%s, %s,", "%s, %s, %s,")
    peers.database.rows(ours, uuid.uuid4(), "m", "billing")
    peers.database.rows(ours, uuid.uuid4(), "m", "shipping")
    with pytest.raises(psycopg.errors.UniqueViolation):
        peers.database.rows(ours, uuid.uuid4(), "m", "billing")
