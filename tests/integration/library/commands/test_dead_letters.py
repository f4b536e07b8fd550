"""``outbox dlq`` on real brokers: nothing is lost, nothing changes its place, whoever is killed."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.commands.letters import DeadLetters, wait_for_depth
from tests.integration.library.consume.subscriber import Broker, Subscribers
from tests.integration.library.consume.subscriber import Database as SubscribersDatabase
from tests.integration.library.worker import MANAGE, REPOSITORY
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.library.publish.publisher import Project
    from tests.rig.hostservices import RabbitMQ


@pytest.fixture
def letters(project: Project, rabbitmq: RabbitMQ) -> Iterator[DeadLetters]:
    """Queues on RabbitMQ that no other test uses."""
    name = f"letters-{uuid.uuid4().hex[:12]}"
    rabbitmq.declare_queue(name)
    rabbitmq.declare_queue(f"DLQ.{name}")
    yield DeadLetters(project, rabbitmq, name)
    for queue in (name, f"DLQ.{name}"):
        rabbitmq.delete_queue(queue)


def _messages(project: Project, queue: str) -> list[dict[str, Any]]:
    """All messages of a queue, which leave it."""
    return project.broker.get_messages(queue, 10_000, requeue=False)


def _message_ids(messages: list[dict[str, Any]]) -> list[str]:
    return [message["properties"]["headers"]["dop-msg-id"] for message in messages]


def test_a_list_shows_each_letter_and_leaves_all_in_their_places(letters: DeadLetters) -> None:
    ids = letters.leave(300)
    document = letters.run("list", 1000, "--wait=6s", code=2)
    assert [letter["id"] for letter in document["letters"]] == ids
    assert document["letters"][0] == {
        "id": ids[0],
        "failed_at": "2026-01-02T03:04:05.678Z",
        "error": "ValueError: no such order",
        "attempts": 5,
        "destination": f"/topic/{letters.queue}",
    }
    assert (document["looked_at"], document["more"]) == (300, False)
    wait_for_depth(letters.project, f"DLQ.{letters.queue}", 300)
    assert _message_ids(_messages(letters.project, f"DLQ.{letters.queue}")) == ids


def test_a_list_that_is_killed_loses_nothing_and_changes_no_order(letters: DeadLetters) -> None:
    ids = letters.leave(200)
    process = subprocess.Popen(
        [sys.executable, "-m", MANAGE, "outbox", "dlq", "list", letters.queue, "--wait", "10m", "--limit", "1000"],
        cwd=REPOSITORY,
        env=letters.project.environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        # It holds them all, and waits for more.
        wait_for_depth(letters.project, f"DLQ.{letters.queue}", 0)
    finally:
        process.kill()
        process.wait()
    wait_for_depth(letters.project, f"DLQ.{letters.queue}", 200)
    assert letters.ids(200) == ids


def test_letters_of_a_quorum_queue_stay_in_order_too(project: Project, rabbitmq: RabbitMQ) -> None:
    name = f"letters-{uuid.uuid4().hex[:12]}"
    rabbitmq.declare_queue(f"DLQ.{name}", arguments={"x-queue-type": "quorum"})
    try:
        letters = DeadLetters(project, rabbitmq, name)
        ids = letters.leave(40)
        assert letters.ids(40) == ids
        wait_for_depth(project, f"DLQ.{name}", 40)
        assert letters.ids(40) == ids
    finally:
        rabbitmq.delete_queue(f"DLQ.{name}")


def test_a_replay_sends_what_fits_to_its_own_queue_without_its_story(letters: DeadLetters, rabbitmq: RabbitMQ) -> None:
    others = f"{letters.queue}-others"
    rabbitmq.declare_queue(others)
    rabbitmq.api.bind_queue(others, exchange="amq.topic", routing_key=letters.queue)
    letters.leave(2, colour="blue")
    fitting = letters.leave(3, first=10, dop_error="OSError: the disk is full", colour="blue")
    document = letters.run("replay", 3, "--error", "DISK")
    assert (document["looked_at"], document["matched"], document["replayed"]) == (5, 3, 3)
    messages = _messages(letters.project, letters.queue)
    assert _message_ids(messages) == fitting
    headers = messages[0]["properties"]["headers"]
    assert headers["colour"] == "blue"
    assert headers["dop-destination"] == f"/topic/{letters.queue}"
    assert not {"dop-error", "dop-attempts", "dop-failed-at", "dop-queue"} & set(headers)
    assert messages[0]["properties"]["delivery_mode"] == 2
    wait_for_depth(letters.project, f"DLQ.{letters.queue}", 2)
    assert rabbitmq.queue_depth(others) == 0
    rabbitmq.delete_queue(others)


def test_a_replay_that_is_killed_loses_nothing(letters: DeadLetters, rabbitmq: RabbitMQ) -> None:
    ids = letters.leave(2000)
    process = subprocess.Popen(
        [sys.executable, "-m", MANAGE, "outbox", "dlq", "replay", letters.queue],
        cwd=REPOSITORY,
        env=letters.project.environment(),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_until("some are replayed", lambda: (rabbitmq.queue_depth(letters.queue) or 0) >= 100, seconds=60)
    finally:
        process.kill()
        process.wait()

    def nobody_holds_any() -> bool:
        counted = rabbitmq.count(f"DLQ.{letters.queue}")
        return counted is not None and counted.consumers == 0

    wait_until("the broker notices the end", nobody_holds_any, seconds=60)
    replayed = _message_ids(_messages(letters.project, letters.queue))
    left = _message_ids(_messages(letters.project, f"DLQ.{letters.queue}"))
    assert set(replayed) | set(left) == set(ids)
    # At most the batch that was on its way is in both.
    assert len(set(replayed) & set(left)) <= 50


def test_a_letter_whose_queue_is_gone_stays(letters: DeadLetters) -> None:
    ids = letters.leave(1, dop_queue="letters-nowhere")
    document = letters.run("replay", 1, code=2)
    assert document["failures"][0]["id"] == ids[0]
    assert "There is no queue letters-nowhere" in document["failures"][0]["reason"]
    assert letters.ids(1) == ids


def test_a_purge_removes_what_fits_and_asks_first(letters: DeadLetters) -> None:
    kept = letters.leave(2)
    letters.leave(2, first=10, dop_error="OSError: the disk is full")
    assert letters.process("purge", "--limit=4").returncode == 1
    assert letters.run("purge", 4, "--dry-run")["matched"] == 4
    wait_for_depth(letters.project, f"DLQ.{letters.queue}", 4)
    assert letters.run("purge", 2, "--error", "disk", "--yes")["removed"] == 2
    wait_for_depth(letters.project, f"DLQ.{letters.queue}", 2)
    assert letters.ids(2) == kept


def test_letters_of_django_outbox_pattern_go_back_to_the_queue_they_were_refused_in(
    letters: DeadLetters, rabbitmq: RabbitMQ
) -> None:
    queue = f"{letters.queue}-peer"
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"DLQ.{letters.queue}", "x-message-ttl": 1}
    rabbitmq.declare_queue(queue, arguments=arguments)
    letters.send(f"/amq/queue/{queue}", {"from-the-peer": {"dop-msg-destination": "/topic/orders"}})
    wait_for_depth(letters.project, f"DLQ.{letters.queue}", 1)
    (letter,) = letters.run("list", 1, code=2)["letters"]
    assert letter == {
        "id": "from-the-peer",
        "failed_at": None,
        "error": None,
        "attempts": None,
        "destination": "/topic/orders",
    }
    rabbitmq.delete_queue(queue)
    rabbitmq.declare_queue(queue)
    assert letters.run("replay", 1)["replayed"] == 1
    (message,) = _messages(letters.project, queue)
    assert message["properties"]["headers"]["dop-destination"] == "/topic/orders"
    rabbitmq.delete_queue(queue)


def test_a_queue_that_does_not_exist_is_said_in_one_line(letters: DeadLetters) -> None:
    done = letters.process("list", queue="letters-nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "The broker has no queue DLQ.letters-nowhere." in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_message_that_failed_takes_effect_after_its_replay(
    project: Project, rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    queue = f"letters-{uuid.uuid4().hex[:12]}"
    database = SubscribersDatabase(project.database.server, project.database.name)
    running: list[Any] = []
    subscribers = Subscribers(rabbitmq, database, tmp_path, running)
    letters = DeadLetters(project, rabbitmq, queue)
    try:
        failing = subscribers.start("raises", f"/topic/{queue}").wait_ready()
        Broker(rabbitmq).send(f"/topic/{queue}", {"key": queue}, dop_msg_id=queue)
        wait_for_depth(project, f"DLQ.{queue}", 1)
        assert failing.stop() == 0
        (letter,) = letters.run("list", 1, code=2)["letters"]
        assert (letter["id"], letter["attempts"], letter["destination"]) == (queue, 1, f"/topic/{queue}")
        assert letter["error"].startswith("ValueError")
        assert letters.run("replay", 1)["replayed"] == 1
        mended = subscribers.start("save", f"/topic/{queue}").wait_ready()
        mended.wait_for("the effect", lambda: database.effects(queue) == 1)
        ((headers,),) = database.rows("SELECT headers FROM received WHERE msg_id = %s", queue)
        assert headers["destination"] == f"/topic/{queue}"
        assert mended.stop() == 0
    finally:
        for subscriber in running:
            subscriber.end()
        for name in (queue, f"DLQ.{queue}"):
            rabbitmq.delete_queue(name)


@pytest.mark.parametrize("kind", ["activemq", "artemis"])
def test_other_brokers_list_replay_and_purge_too(project: Project, request: pytest.FixtureRequest, kind: str) -> None:
    server = request.getfixturevalue(kind)
    letters = DeadLetters(project, server, f"letters-{uuid.uuid4().hex[:12]}")
    story = {"destination_type": "ANYCAST", "dop_destination": f"/queue/{letters.queue}"}
    ids = letters.leave(30, **story)
    assert letters.ids(30) == ids
    assert letters.ids(30) == ids
    assert letters.run("purge", 1, "--id", ids[0], "--yes")["removed"] == 1
    assert letters.run("replay", 2, "--id", ids[1], "--id", ids[2])["replayed"] == 2
    assert letters.ids(27) == ids[3:]
    assert letters.receive(f"/queue/{letters.queue}", 2) == ids[1:3]
