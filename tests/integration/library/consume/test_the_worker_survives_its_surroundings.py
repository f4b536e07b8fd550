"""Restarts, silence and stop signals: the worker rides them out, says what it lacks, and ends when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.library.worker import REPOSITORY

if TYPE_CHECKING:
    from tests.integration.library.consume.subscriber import Broker, Database, Subscriber, Subscribers

RECEIVED = "outbox_received_messages_total"


def test_a_broker_restart_is_ridden_out(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    broker.server.stop()
    try:
        subscriber.wait_for("not ready", lambda: subscriber.probe("/readyz")[0] == 503)
        assert subscriber.probe("/livez")[0] == 200
        assert subscriber.metric("outbox_broker_connected", host=_host(broker)) == 0
        assert set(subscriber.reasons()) == {"broker", "subscription"}
    finally:
        broker.server.start()
    subscriber.wait_ready()
    assert subscriber.metric("outbox_broker_connected", host=_host(broker)) == 1
    assert subscriber.metric("outbox_broker_reconnects_total", host=_host(broker)) == 1
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)
    assert subscriber.stop() == 0


def test_a_callback_that_outlives_its_connection_takes_effect_once(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}").wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the callback to begin", lambda: subscriber.began(queue))
    broker.server.restart()
    subscriber.wait_ready()
    subscriber.open_gate()
    # Its own acknowledgement belonged to the connection that is gone: the redelivery is what gets acknowledged.
    subscriber.wait_for("the duplicate", lambda: subscriber.metric(RECEIVED, queue=queue, result="duplicate") == 1)
    assert subscriber.metric(RECEIVED, queue=queue, result="ack") == 0
    assert subscriber.stop() == 0
    assert database.effects(queue) == 1
    assert broker.depth(queue) == 0


def test_a_deleted_queue_is_declared_again(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}").wait_ready()
    broker.server.delete_queue(queue)
    broker.server.delete_queue(f"DLQ.{queue}")
    subscriber.wait_for("both queues again", lambda: {broker.depth(queue), broker.depth(f"DLQ.{queue}")} == {0})
    subscriber.wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the effect", lambda: database.effects(queue) == 1)


def test_a_callback_longer_than_the_heartbeats_is_not_redelivered(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}", DEFAULT_STOMP_HEARTBEATS=[1000, 1000])
    subscriber.wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the callback to begin", lambda: subscriber.began(queue))
    # Either side gives up after two silent seconds at most; the fifth proves that neither was silent.
    silent_since = time.monotonic()
    subscriber.wait_for("five heartbeats' time", lambda: time.monotonic() - silent_since > 5)
    assert subscriber.ready()
    subscriber.open_gate()
    subscriber.wait_for("the acknowledgement", lambda: subscriber.metric(RECEIVED, queue=queue, result="ack") == 1)
    assert subscriber.metric("outbox_redelivered_messages_total", queue=queue) == 0
    assert subscriber.metric("outbox_broker_reconnects_total") is None
    assert database.effects(queue) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_stop_signal_lets_the_callback_finish_and_begins_no_other(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str, number: signal.Signals
) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}", "--prefetch", "5").wait_ready()
    first, second = f"{queue}-first", f"{queue}-second"
    broker.send(f"/topic/{queue}", {"key": first})
    subscriber.wait_for("the first callback", lambda: subscriber.began(first))
    broker.send(f"/topic/{queue}", {"key": second})
    broker.wait_for_depth(queue, 0, subscriber)
    subscriber.signal(number)
    subscriber.wait_for("the drain", lambda: "stopping" in subscriber.reasons().values())
    subscriber.open_gate()
    assert subscriber.wait_exit() == 0, subscriber.evidence()
    assert (database.effects(first), database.effects(second)) == (1, 0)
    broker.wait_for_depth(queue, 1)


def test_a_drain_past_its_limit_ends_with_2_and_gives_the_message_back(
    subscribers: Subscribers, broker: Broker, database: Database, queue: str
) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}", DEFAULT_CONSUMER_SHUTDOWN_TIMEOUT=0.5)
    subscriber.wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the callback to begin", lambda: subscriber.began(queue))
    subscriber.signal(signal.SIGTERM)
    assert subscriber.wait_exit() == 2, subscriber.evidence()
    broker.wait_for_depth(queue, 1)
    assert database.effects(queue) == 0


def test_a_second_signal_ends_the_process_at_once(subscribers: Subscribers, broker: Broker, queue: str) -> None:
    subscriber = subscribers.start("waits_for_gate", f"/topic/{queue}").wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue})
    subscriber.wait_for("the callback to begin", lambda: subscriber.began(queue))
    subscriber.signal(signal.SIGTERM)
    subscriber.wait_for("the drain", lambda: "stopping" in subscriber.reasons().values())
    subscriber.signal(signal.SIGTERM)
    assert subscriber.wait_exit() == 1
    broker.wait_for_depth(queue, 1)


def test_a_stop_during_an_outage_ends_with_0(subscribers: Subscribers, queue: str) -> None:
    nobody = [["127.0.0.1", 1]]
    subscriber = subscribers.start("save", f"/topic/{queue}", DEFAULT_STOMP_HOST_AND_PORTS=nobody)
    subscriber.wait_for("the outage to show", lambda: "127.0.0.1:1" in subscriber.reasons()["broker"])
    assert subscriber.probe("/livez")[0] == 200
    assert subscriber.stop() == 0


def test_credentials_refused_at_the_start_end_the_command_with_1(subscribers: Subscribers, queue: str) -> None:
    subscriber = subscribers.start("save", f"/topic/{queue}", DEFAULT_STOMP_PASSCODE="wrong-passcode")
    assert subscriber.wait_exit() == 1
    last = subscriber.text().strip().splitlines()[-1]
    assert "refused the subscriber's login" in last
    assert "DEFAULT_STOMP_PASSCODE" in last
    assert "wrong-passcode" not in subscriber.text()


def test_a_changed_passcode_is_reported_and_tried_again_until_it_fits(
    subscribers: Subscribers, broker: Broker, queue: str
) -> None:
    api = broker.server.api
    _set_passcode(broker, queue, "first")
    account = {"DEFAULT_STOMP_USERNAME": queue, "DEFAULT_STOMP_PASSCODE": "first"}
    subscriber = subscribers.start("save", f"/topic/{queue}", **account).wait_ready()
    _set_passcode(broker, queue, "second")
    mine = subscriber.wait_for("its connection", lambda: [c["name"] for c in api.connections() if c["user"] == queue])
    for name in mine:
        api.close_connection(name)
    reason = subscriber.wait_for("the refusal", lambda: _broker_reason(subscriber, "refused"))
    assert "DEFAULT_STOMP_PASSCODE" in reason
    _set_passcode(broker, queue, "first")
    subscriber.wait_ready()
    api.call("DELETE", f"users/{queue}")


def test_the_log_holds_no_bodies(subscribers: Subscribers, broker: Broker, queue: str) -> None:
    subscriber = subscribers.start("nacks", f"/topic/{queue}").wait_ready()
    broker.send(f"/topic/{queue}", {"key": queue, "card": "4111-1111"})
    broker.wait_for_depth(f"DLQ.{queue}", 1, subscriber)
    assert subscriber.stop() == 0
    assert "4111-1111" not in subscriber.text()


def test_without_a_metrics_port_nothing_listens_and_a_bad_callback_is_the_last_line(subscribers: Subscribers) -> None:
    command = [sys.executable, "-m", "tests.django_project.manage", "subscribe", "no.such.callback", "/topic/x"]
    ended = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=subscribers.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "Could not import 'no.such.callback'. There is no module 'no'." in last


def test_a_taken_metrics_port_ends_the_command_with_1(subscribers: Subscribers, queue: str) -> None:
    first = subscribers.start("save", f"/topic/{queue}").wait_ready()
    command = [sys.executable, "-m", "tests.django_project.manage", "subscribe"]
    command += ["tests.django_project.callbacks.save", f"/topic/{queue}", f"--metrics-port={first.port}"]
    ended = subprocess.run(
        command, cwd=REPOSITORY, env=subscribers.environment(), capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 1
    assert f"Port {first.port} is taken" in ended.stderr.strip().splitlines()[-1]
    os.kill(first.process.pid, 0)


def _host(broker: Broker) -> str:
    return f"{broker.server.host}:{broker.server.stomp_port}"


def _broker_reason(subscriber: Subscriber, words: str) -> str | None:
    reason = subscriber.reasons().get("broker", "")
    return reason if words in reason else None


def _set_passcode(broker: Broker, user: str, passcode: str) -> None:
    api = broker.server.api
    api.call("PUT", f"users/{user}", {"password": passcode, "tags": ""})
    api.call("PUT", f"permissions/%2F/{user}", {"configure": ".*", "write": ".*", "read": ".*"})
