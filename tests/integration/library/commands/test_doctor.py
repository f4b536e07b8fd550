"""``outbox doctor`` on real servers: it says what is wrong, and leaves nothing behind."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.library.commands.letters import DeadLetters, wait_for_depth
from tests.integration.library.consume.subscriber import Database as SubscribersDatabase
from tests.integration.library.consume.subscriber import Subscribers
from tests.rig.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.library.publish.publisher import Project
    from tests.rig.hostservices import RabbitMQ


@pytest.fixture
def queue(rabbitmq: RabbitMQ) -> Iterator[str]:
    """The name of a queue that no other test uses."""
    name = f"doctor-{uuid.uuid4().hex[:12]}"
    yield name
    for leftover in (name, f"DLQ.{name}"):
        rabbitmq.delete_queue(leftover)


def _examine(project: Project, *arguments: str, code: int = 0, **settings: Any) -> dict[str, dict[str, str]]:
    """Run the doctor; return its findings by their names."""
    done = project.manage("outbox", "doctor", "--json", *arguments, check=False, **settings)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    document = json.loads(done.stdout)
    assert document["ok"] is (code == 0)
    return {check["name"]: check for check in document["checks"]}


def _levels(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {name: check["level"] for name, check in found.items() if not name.startswith("publish to")}


def test_a_project_that_is_well_is_told_so_and_nothing_is_left_behind(project: Project, rabbitmq: RabbitMQ) -> None:
    found = _examine(project)
    assert {check["level"] for check in found.values()} == {"ok"}
    assert found["broker"]["message"].startswith("RabbitMQ/")
    assert "publish to /topic/order.placed" in found
    assert not [name for name in rabbitmq.api.queues() if "doctor-" in name and name.startswith("outbox")]
    assert project.database.states() == {}


def test_a_wrong_password_is_told(project: Project) -> None:
    found = _examine(project, code=1, DEFAULT_STOMP_PASSCODE="wrong-secret")
    assert found["broker"]["level"] == "fail"
    assert "refused" in found["broker"]["message"]
    assert "wrong-secret" not in json.dumps(found)


def test_a_wrong_virtual_host_is_told(project: Project) -> None:
    found = _examine(project, code=1, DEFAULT_STOMP_VHOST="nowhere")
    assert "'nowhere'" in found["broker"]["message"]
    assert "virtual host" in found["broker"]["advice"]


def test_a_broker_that_is_down_is_told_and_the_database_is_examined_all_the_same(project: Project) -> None:
    found = _examine(project, code=1, DEFAULT_STOMP_HOST_AND_PORTS=[["127.0.0.1", free_port()]])
    assert (found["broker"]["level"], found["database"]["level"]) == ("fail", "ok")


def test_a_database_that_is_down_is_told_and_the_broker_is_examined_all_the_same(project: Project) -> None:
    database = project.database
    elsewhere = {**database.django, "PORT": free_port()}

    class Away(type(database)):  # type: ignore[misc]
        django = elsewhere

    found = _examine(replace(project, database=Away(database.server, database.name)), code=1)
    assert (found["database"]["level"], found["round trip"]["level"]) == ("fail", "ok")


def test_a_database_without_tables_is_told(empty_project: Project) -> None:
    found = _examine(empty_project, code=1)
    assert found["migrations"]["advice"] == "Run manage.py migrate."
    assert "0001_initial" in found["migrations"]["message"]


def test_an_index_that_was_never_finished_is_told(project: Project) -> None:
    project.database.rows(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'received_msg_consumer_uniq'::regclass"
    )
    found = _examine(project)
    assert found["indexes of received"]["level"] == "warn"
    assert "received_msg_consumer_uniq" in found["indexes of received"]["message"]


def test_the_queues_of_a_subscriber_are_what_it_declares(
    project: Project, rabbitmq: RabbitMQ, queue: str, tmp_path: Path
) -> None:
    topic, arguments = f"/topic/{queue}", ("--subscription", f"/topic/{queue}", queue)
    missing = _examine(project, *arguments)
    assert (missing[f"queue {queue}"]["level"], missing[f"queue DLQ.{queue}"]["level"]) == ("warn", "warn")
    assert queue not in rabbitmq.api.queues()
    database = SubscribersDatabase(project.database.server, project.database.name)
    running: list[Any] = []
    try:
        subscriber = Subscribers(rabbitmq, database, tmp_path, running).start("save", topic, queue).wait_ready()
        assert set(_levels(_examine(project, *arguments)).values()) == {"ok"}
        assert subscriber.stop() == 0
    finally:
        for subscriber in running:
            subscriber.end()


def test_a_queue_with_other_arguments_is_explained_and_keeps_its_messages(
    project: Project, rabbitmq: RabbitMQ, queue: str
) -> None:
    rabbitmq.declare_queue(queue, arguments={"x-max-length": 10})
    letters = DeadLetters(project, rabbitmq, queue)
    letters.send(f"/amq/queue/{queue}", {"first": {}, "second": {}})
    found = _examine(project, "--subscription", f"/topic/{queue}", queue, code=1)
    assert "inequivalent arg" in found[f"queue {queue}"]["message"]
    assert "cannot be changed" in found[f"queue {queue}"]["advice"]
    wait_for_depth(project, queue, 2)
    messages = rabbitmq.get_messages(queue, 10)
    assert [message["properties"]["headers"]["dop-msg-id"] for message in messages] == ["first", "second"]
    assert [message["redelivered"] for message in messages] == [False, False]


def test_retries_that_would_come_late_for_want_of_a_right_are_told(
    project: Project, rabbitmq: RabbitMQ, queue: str
) -> None:
    rabbitmq.api.call("PUT", f"users/{queue}", {"password": "reader", "tags": ""})
    try:
        user = {"DEFAULT_STOMP_USERNAME": queue, "DEFAULT_STOMP_PASSCODE": "reader"}
        rights = {"configure": ".*", "write": ".*", "read": "^(?!RETRY).*"}
        rabbitmq.api.call("PUT", f"permissions/%2F/{queue}", rights)
        arguments = ("--subscription", f"/topic/{queue}", queue)
        late = _examine(project, *arguments, **user)[f"queues RETRY.{queue}.*"]
        assert late["level"] == "warn"
        assert "Retries would come up to 1 hour late" in late["message"]
        rabbitmq.api.call("PUT", f"permissions/%2F/{queue}", {**rights, "read": ".*"})
        assert _examine(project, *arguments, **user)[f"queues RETRY.{queue}.*"]["level"] == "ok"
        assert not [name for name in rabbitmq.api.queues() if queue in name]
    finally:
        rabbitmq.api.call("DELETE", f"users/{queue}")


def test_rights_that_are_missing_are_told(project: Project, rabbitmq: RabbitMQ, queue: str) -> None:
    rabbitmq.api.call("PUT", f"users/{queue}", {"password": "reader", "tags": ""})
    rights = {"configure": "^outbox-doctor-", "write": "^(outbox-doctor-.*|amq\\.default)$", "read": ".*"}
    rabbitmq.api.call("PUT", f"permissions/%2F/{queue}", rights)
    try:
        user = {"DEFAULT_STOMP_USERNAME": queue, "DEFAULT_STOMP_PASSCODE": "reader"}
        found = _examine(project, "--destination", "/exchange/nowhere/key", code=1, **user)
        assert found["round trip"]["level"] == "ok"
        assert found["publish to /topic/order.placed"]["level"] == "fail"
        assert "Grant" in found["publish to /topic/order.placed"]["advice"]
        assert found["publish to /exchange/nowhere/key"]["level"] == "fail"
        rabbitmq.api.call("PUT", f"permissions/%2F/{queue}", {"configure": "", "write": "", "read": ""})
        nothing = _examine(project, **user)
        assert (nothing["round trip"]["level"], nothing["queues"]["level"]) == ("warn", "warn")
    finally:
        rabbitmq.api.call("DELETE", f"users/{queue}")


@pytest.mark.parametrize("kind", ["activemq", "artemis"])
def test_other_brokers_are_examined_too(project: Project, request: pytest.FixtureRequest, kind: str) -> None:
    server = request.getfixturevalue(kind)
    found = _examine(project, DEFAULT_STOMP_HOST_AND_PORTS=[[server.host, server.stomp_port]])
    assert {check["level"] for check in found.values()} == {"ok"}
    assert "confirmed and came back" in found["round trip"]["message"]
