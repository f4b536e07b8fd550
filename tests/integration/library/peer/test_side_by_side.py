"""A rolling upgrade: workers of django-outbox-pattern and ours on one database and one queue, while messages flow."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.consume.subscriber import Broker, Subscribers
from tests.integration.library.peer.peer import APP
from tests.integration.library.publish.publisher import SCHEDULE, Project
from tests.rig.peers import FIRST
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.library.peer.peer import Peer
    from tests.integration.library.publish.publisher import Database
    from tests.rig.hostservices import RabbitMQ

# What a rolling upgrade is done with: until the last old worker is gone, ours leave out what the old ones do not know.
BESIDE = {"INBOX_PER_QUEUE": False}
EFFECTS = "CREATE TABLE events_effect (id bigserial PRIMARY KEY, key varchar(200) NOT NULL)"
ENQUEUE = """
    INSERT INTO published (id, destination, body, added, expires_at, retry, status, headers)
    VALUES (%s, %s, jsonb_build_object('key', %s::text), now(), now() + interval '1 day', 0, 1,
            jsonb_build_object('dop-msg-id', %s::text))
"""


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A name for a queue and for the last segment of a destination."""
    name = f"peer-{uuid.uuid4().hex[:12]}"
    yield name
    for leftover in rabbitmq.api.queues():
        if name in leftover:
            rabbitmq.delete_queue(leftover)


class Sides:
    """Both libraries on one database and one broker, and an application that enqueues."""

    def __init__(self, peer: Peer, database: Database, broker: RabbitMQ, folder: Path, queue: str) -> None:
        self.peer, self.database, self.broker, self.queue = peer, database, Broker(broker), queue
        self.ours = Project(database, broker, folder)
        self.subscribers = Subscribers(broker, database, folder)
        self.destination = f"/topic/{queue}"
        self.keys: list[str] = []

    def enqueue(self) -> None:
        """Write one message, as a deployment of either library does that knows none of our columns."""
        row = str(uuid.uuid4())
        self.keys.append(row)
        self.database.rows(ENQUEUE, row, self.destination, row, row)

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Enqueue all the time."""
        stop = threading.Event()

        def work() -> None:
            while not stop.wait(0.02):
                self.enqueue()

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def effects(self) -> Counter[str]:
        """How often each message took effect."""
        return Counter(row[0] for row in self.database.rows("SELECT key FROM events_effect"))

    def wait_for_flow(self, count: int = 40) -> None:
        """Wait until so many messages more have taken effect."""
        wanted = len(self.effects()) + count
        wait_until(f"{count} effects more", lambda: len(self.effects()) >= wanted, seconds=60, state=self.evidence)

    def wait_for_all(self) -> None:
        """Wait until every message has taken effect and none waits."""
        done = lambda: len(self.effects()) >= len(self.keys) and not self.database.count(SCHEDULE)  # noqa: E731
        wait_until("every message took effect", done, seconds=60, state=self.evidence)
        self.broker.wait_for_depth(self.queue, 0)

    def evidence(self) -> str:
        """What to show when a wait fails."""
        workers = [*self.peer.running, *self.ours.running, *self.subscribers.running]
        return "\n".join([f"{len(self.effects())} of {len(self.keys)}", *(worker.evidence() for worker in workers)])

    def end(self) -> None:
        """End every worker of ours that still runs."""
        for worker in (*self.ours.running, *self.subscribers.running):
            worker.end()

    def dead_letters(self) -> set[str]:
        """The ids in the dead letter queue."""
        letters = self.broker.server.get_messages(f"DLQ.{self.queue}", 10_000)
        return {letter["properties"]["headers"]["dop-msg-id"] for letter in letters}


@pytest.fixture
def sides(peer: Peer, database: Database, rabbitmq: RabbitMQ, tmp_path: Path, queue: str) -> Iterator[Sides]:
    database.rows(EFFECTS)
    sides = Sides(peer, database, rabbitmq, tmp_path, queue)
    yield sides
    sides.end()


def _peers_workers(sides: Sides) -> list[Any]:
    return [sides.peer.subscribe("save", sides.destination, sides.queue), sides.peer.publish()]


def _our_workers(sides: Sides) -> list[Any]:
    subscriber = sides.subscribers.start("save", sides.destination, sides.queue, **BESIDE)
    return [subscriber.wait_ready(), sides.ours.publish(**BESIDE).wait_ready()]


def _exactly_once(sides: Sides) -> None:
    assert sides.effects() == Counter(sides.keys)
    # A duplicate that the old worker was too slow for lands there, its effect done; nothing else may.
    assert sides.dead_letters() <= set(sides.effects())


def test_an_upgrade_under_load_loses_nothing_and_doubles_no_effect(sides: Sides) -> None:
    olds = _peers_workers(sides)
    with sides.traffic():
        sides.wait_for_flow()
        sides.ours.manage("migrate", APP, "--verbosity=0")
        sides.wait_for_flow()
        _our_workers(sides)
        sides.wait_for_flow()
        for old in olds:
            old.stop() if old is olds[0] else old.kill()
        sides.wait_for_flow()
    sides.wait_for_all()
    _exactly_once(sides)


def test_old_workers_that_come_back_beside_ours_lose_nothing_and_double_no_effect(sides: Sides) -> None:
    sides.ours.manage("migrate", APP, "--verbosity=0")
    news = _our_workers(sides)
    with sides.traffic():
        sides.wait_for_flow()
        _peers_workers(sides)
        sides.wait_for_flow()
        for new in news:
            assert new.stop() == 0
        sides.wait_for_flow()
    sides.wait_for_all()
    _exactly_once(sides)


@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_two_copies_of_a_message_in_both_workers_at_once_take_effect_once(sides: Sides, first: str) -> None:
    sides.ours.manage("migrate", APP, "--verbosity=0")
    start = {
        # Its callbacks keep it from answering heartbeats: without any, the other side may take its time to start.
        "theirs": lambda: sides.peer.subscribe(
            "waits_for_gate", sides.destination, sides.queue, DEFAULT_STOMP_HEARTBEATS=[0, 0]
        ),
        "ours": lambda: sides.subscribers.start(
            "waits_for_gate", sides.destination, sides.queue, **BESIDE
        ).wait_ready(),
    }
    began = lambda worker: (sides.peer.folder / f"began-m-{worker.process.pid}").exists()  # noqa: E731
    for side in (first, *(start.keys() - {first})):
        worker = start[side]()
        sides.broker.send(sides.destination, {"key": "m"}, dop_msg_id="m")
        worker.wait_for("the callback begins", lambda worker=worker: began(worker))
    (sides.peer.folder / "gate").touch()
    sides.broker.wait_for_depth(sides.queue, 0)
    wait_until(
        "both are done",
        lambda: sides.effects() and not sides.broker.unacknowledged(sides.queue),
        seconds=30,
        state=sides.evidence,
    )
    assert sides.effects() == {"m": 1}


def test_each_side_knows_what_the_other_has_handled(sides: Sides) -> None:
    sides.ours.manage("migrate", APP, "--verbosity=0")
    old = sides.peer.subscribe("save", sides.destination, sides.queue)
    sides.broker.send(sides.destination, {"key": "by-theirs"}, dop_msg_id="by-theirs")
    old.wait_for("the effect", lambda: sides.effects()["by-theirs"] == 1)
    assert old.stop() == 0
    new = sides.subscribers.start("save", sides.destination, sides.queue).wait_ready()
    for key in ("by-theirs", "by-ours"):
        sides.broker.send(sides.destination, {"key": key}, dop_msg_id=key)
    new.wait_for("the effect", lambda: sides.effects()["by-ours"] == 1)
    assert new.stop() == 0
    old = sides.peer.subscribe("save", sides.destination, sides.queue)
    for key in ("by-theirs", "by-ours", "last"):
        sides.broker.send(sides.destination, {"key": key}, dop_msg_id=key)
    old.wait_for("the effect", lambda: sides.effects()["last"] == 1)
    assert sides.effects() == {"by-theirs": 1, "by-ours": 1, "last": 1}


def test_the_old_worker_handles_a_message_that_comes_back_from_our_retry_queue(sides: Sides) -> None:
    sides.ours.manage("migrate", APP, "--verbosity=0")
    # Many delays: however slow the machine, the message is no dead letter before ours has stopped.
    delays = {"CONSUMER_RETRY_DELAYS": [3.0] * 100}
    # Without one of ours a message drops out of where it waits after an hour; RabbitMQ obeys the shorter of two times.
    sides.broker.server.api.set_policy(sides.queue, rf"^RETRY\.{sides.queue}\.", {"message-ttl": 8000})
    new = sides.subscribers.start("raises", sides.destination, sides.queue, **BESIDE, **delays).wait_ready()
    sides.broker.send(sides.destination, {"key": "m"}, dop_msg_id="m")
    new.wait_for("the retry", lambda: (new.metric("outbox_retried_messages_total") or 0) >= 1)
    assert new.stop() == 0
    old = sides.peer.subscribe("save", sides.destination, sides.queue)
    old.wait_for("the effect", lambda: sides.effects()["m"] == 1)
    assert sides.database.rows("SELECT msg_id FROM received") == [("m",)]
    sides.broker.wait_for_depth(sides.queue, 0)
    assert sides.dead_letters() == set()


def test_the_way_back_is_to_run_the_old_workers_again(sides: Sides) -> None:
    sides.ours.manage("migrate", "--run-syncdb", "--verbosity=0")
    news = [sides.subscribers.start("save", sides.destination, sides.queue).wait_ready(), sides.ours.publish()]
    sides.enqueue()
    sides.wait_for_all()
    for new in news:
        assert new.stop() == 0
    code = "from django_outbox import enqueue\nprint(enqueue('/topic/QUEUE', {'key': 'left behind'}).id)"
    left_behind = sides.ours.python(code.replace("QUEUE", sides.queue)).strip()
    sides.enqueue()
    _peers_workers(sides)
    wait_until("the old workers took over", lambda: len(sides.effects()) == 3, seconds=60, state=sides.evidence)
    assert sides.effects() == Counter([*sides.keys, "left behind"])
    assert sides.database.rows("SELECT status FROM published WHERE id = %s", left_behind) == [(2,)]


def test_what_the_first_release_left_unsent_arrives_and_what_it_handled_is_known(
    request: pytest.FixtureRequest,
    make_peer: Callable[..., Peer],
    database: Database,
    rabbitmq: RabbitMQ,
    tmp_path: Path,
    queue: str,
) -> None:
    database.rows(EFFECTS)
    old = make_peer(FIRST, database.django, rabbitmq)
    old.migrate()
    sides = Sides(old, database, rabbitmq, tmp_path, queue)
    request.addfinalizer(sides.end)
    write = "from django_outbox_pattern.models import Published\n"
    write += (
        f"row = Published(destination='/topic/{queue}', version='x', body={{'key': 'KEY'}}); row.save(); print(row.id)"
    )
    destination = f"/topic/{queue}.x"
    workers = [old.subscribe("takes_effect", destination, queue), old.publish()]
    handled = old.python(write.replace("KEY", "handled")).strip()
    workers[0].wait_for("the effect", lambda: sides.effects()["handled"] == 1)
    for worker in workers:
        worker.kill()
    assert database.rows("SELECT msg_id FROM received") == [(handled,)]
    old.python(write.replace("KEY", "left unsent"))
    sides.ours.manage("migrate", APP, "--verbosity=0")
    old.python(write.replace("KEY", "written after the migration"))
    sides.broker.send(destination, {"key": "handled"}, dop_msg_id=handled)
    subscriber = sides.subscribers.start("save", destination, queue).wait_ready()
    sides.ours.publish()
    subscriber.wait_for("everything arrives", lambda: len(sides.effects()) == 3)
    sides.broker.wait_for_depth(queue, 0)
    assert sides.effects() == {"handled": 1, "left unsent": 1, "written after the migration": 1}
    assert all(len(row[0]) == 36 for row in database.rows("SELECT msg_id FROM received"))
