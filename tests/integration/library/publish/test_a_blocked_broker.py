"""A broker without memory reads nothing from publishers: that is seen, said, and no row's fault."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.library.publish.publisher import SUCCEEDED

if TYPE_CHECKING:
    from tests.integration.library.publish.publisher import Project, Publisher
    from tests.integration.library.publish.queues import Queue
    from tests.rig.hostservices import RabbitMQ


def _is_blocked(publisher: Publisher, broker: RabbitMQ) -> float | None:
    return publisher.metric("outbox_broker_blocked", host=f"{broker.host}:{broker.stomp_port}")


def test_a_broker_out_of_memory_is_reported_and_the_rows_go_when_it_has_some_again(
    project: Project, queue: Queue, rabbitmq: RabbitMQ
) -> None:
    publisher = project.publish("--batch-size", "50", RECEIPT_TIMEOUT=2).wait_ready()
    assert _is_blocked(publisher, rabbitmq) == 0
    with rabbitmq.out_of_memory():
        project.database.fill(queue.destination, 300)
        project.database.fill(queue.destination, 100, keys=3, first=300)
        publisher.wait_for("it is seen", lambda: _is_blocked(publisher, rabbitmq) == 1)
        publisher.wait_for("it is not ready", lambda: not publisher.ready())
        status, body = publisher.probe("/readyz")
        assert status == 503
        assert "memory or disk" in body
        assert publisher.probe("/livez")[0] == 200
        assert project.database.count(SUCCEEDED) < 400
    publisher.wait_sent(400)
    publisher.wait_for("that is seen", lambda: _is_blocked(publisher, rabbitmq) == 0)
    publisher.wait_ready()
    numbers = queue.numbers()
    assert numbers.keys() == set(range(400))
    assert project.database.rows("SELECT max(retry) FROM published") == [(0,)]
    log = publisher.log.read_text()
    assert "reads nothing that is published" in log
    assert "reads again" in log
