"""A publisher that is asked to stop takes nothing new, finishes what it has, and says how it went."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import frozen
from tests.integration.library.publish.publisher import SUCCEEDED

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project
    from tests.integration.library.publish.queues import Queue
    from tests.rig.hostservices import RabbitMQ

CLAIMED = "SELECT count(*) FROM published WHERE claim_token IS NOT NULL"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_publishing_leaves_no_claim_and_no_doubt(
    project: Project, queue: Queue, number: signal.Signals
) -> None:
    project.database.fill(queue.destination, 8000)
    publisher = project.publish("--batch-size", "100").wait_ready()
    publisher.wait_for("some rows sent", lambda: project.database.count(SUCCEEDED) > 200)
    publisher.signal(number)
    assert publisher.wait_exit() == 0, publisher.evidence()
    sent = project.database.count(SUCCEEDED)
    assert sent < 8000, "stopped too late to show anything"
    assert project.database.rows(CLAIMED) == [(0,)]
    queue.wait_for_depth(sent)
    assert queue.numbers() == Counter(range(sent))


def test_an_idle_publisher_stops_at_once(project: Project) -> None:
    publisher = project.publish().wait_ready()
    publisher.signal(signal.SIGTERM)
    assert publisher.wait_exit(5) == 0


def test_a_publisher_without_a_broker_stops_at_once(project: Project, queue: Queue, rabbitmq: RabbitMQ) -> None:
    project.database.fill(queue.destination, 1)
    rabbitmq.stop()
    try:
        publisher = project.publish()
        publisher.wait_for("an answer", lambda: publisher.probe("/livez")[0] == 200)
        publisher.signal(signal.SIGTERM)
        assert publisher.wait_exit(15) == 0
    finally:
        rabbitmq.start()
    assert project.database.rows(CLAIMED) == [(0,)]


def test_receipts_that_never_come_do_not_hold_a_stop_beyond_its_limit(
    project: Project, queue: Queue, rabbitmq: RabbitMQ
) -> None:
    publisher = project.publish(SHUTDOWN_TIMEOUT=2).wait_ready()
    with frozen(rabbitmq):
        project.database.fill(queue.destination, 1)
        publisher.wait_for("the row in flight", lambda: project.database.rows(CLAIMED) == [(1,)])
        publisher.signal(signal.SIGTERM)
        assert publisher.wait_exit(10) == 0, publisher.evidence()
    assert project.database.rows("SELECT status, retry, claim_token FROM published") == [(1, 0, None)]


def test_a_second_signal_ends_the_publisher_at_once(project: Project, queue: Queue, rabbitmq: RabbitMQ) -> None:
    publisher = project.publish().wait_ready()
    with frozen(rabbitmq):
        project.database.fill(queue.destination, 1)
        publisher.wait_for("the row in flight", lambda: project.database.rows(CLAIMED) == [(1,)])
        publisher.signal(signal.SIGTERM)
        publisher.wait_for("the first signal taken", lambda: _pending_signals(publisher.process.pid) == 0)
        publisher.signal(signal.SIGTERM)
        assert publisher.wait_exit(5) == 1


def _pending_signals(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(line.split()[1], 16) for line in status.splitlines() if line.startswith(("SigPnd", "ShdPnd")))
