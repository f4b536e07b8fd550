"""A project's own listener, and a consumer started from code instead of by command."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.test import override_settings

from django_outbox.factories import factory_consumer
from tests.rig.waiting import wait_until

if TYPE_CHECKING:
    from django_outbox.payloads import Payload
    from tests.integration.library.consume.subscriber import Broker, Database, Subscribers

LISTENERS = "tests.django_project.listeners"


def test_the_projects_listener_hears_each_message(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    listener = f"{LISTENERS}.NotingListener"
    subscriber = subscribers.start("save", f"/topic/{queue}", DEFAULT_CONSUMER_LISTENER_CLASS=listener).wait_ready()
    msg_id = broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert (subscriber.folder / "heard").read_text() == f"{msg_id} {queue}\n"


def test_a_bug_in_the_projects_listener_costs_no_message(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    listener = f"{LISTENERS}.BrokenListener"
    subscriber = subscribers.start("save", f"/topic/{queue}", DEFAULT_CONSUMER_LISTENER_CLASS=listener).wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert "a bug in the project's listener" in subscriber.text()
    assert subscriber.stop() == 0


def test_a_listener_that_reconnects_by_itself_does_no_harm(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    listener = f"{LISTENERS}.FormerListener"
    subscriber = subscribers.start("save", f"/topic/{queue}", DEFAULT_CONSUMER_LISTENER_CLASS=listener).wait_ready()
    broker.server.restart()
    subscriber.wait_for("the loss", lambda: subscriber.metric("outbox_broker_reconnects_total") is not None)
    subscriber.wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    found = broker.server.count(queue)
    assert found is not None
    assert found.consumers == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("package", ["django_outbox", "django_outbox_pattern"])
def test_a_consumer_started_from_code_consumes_until_it_is_stopped(broker: Broker, queue: str, package: str) -> None:
    bodies: list[object] = []
    threads: list[threading.Thread] = []

    def callback(payload: Payload) -> None:
        bodies.append(payload.body)
        threads.append(threading.current_thread())
        payload.save()

    project = {
        "DEFAULT_STOMP_HOST_AND_PORTS": [(broker.server.host, broker.server.stomp_port)],
        "DEFAULT_STOMP_USERNAME": broker.server.username,
        "DEFAULT_STOMP_PASSCODE": broker.server.passcode,
        "DEFAULT_RECEIVED_CLASS": f"{package}.models.Received",
    }
    with override_settings(DJANGO_OUTBOX_PATTERN=project):
        consumer = factory_consumer()
        consumer.start(callback, f"/topic/{queue}", f"{queue}.code")
        broker.send(f"/topic/{queue}", {"key": queue})
        wait_until("the callback", lambda: bodies == [{"key": queue}], seconds=20)
        assert threads[0] is not threading.current_thread()
        consumer.stop()
    broker.wait_for_depth(f"{queue}.code", 0)
    found = broker.server.count(f"{queue}.code")
    assert found is not None
    assert found.consumers == 0
