"""What the engine does when a worker meets something that nobody foresaw."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from django_outbox.consumer import NEEDS, ROLE, ConsumerEngine
from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.link import Delivery, Link
from django_outbox.processing import ACK, Ending
from django_outbox.subscription import Subscription
from tests.rig.waiting import wait_until
from tests.unit.library.consume.doubles import headers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest


class StandingLink(Link):
    """A link that is connected until it is given up, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__(deliver=lambda _delivery: None)
        self.acked: list[str] = []

    def is_connected(self) -> bool:
        return self.failure is None

    def ack_all(self, deliveries: list[Delivery]) -> bool:
        self.acked.extend(delivery.message_id for delivery in deliveries)
        return True


def test_a_worker_that_meets_the_unforeseen_gives_up_the_link_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = ConsumerEngine(Subscription(lambda _payload: None, "/topic/x", "orders"), Health(ROLE, NEEDS))
    settle, stop = engine._settler.settle_all, StopSignal()
    monkeypatch.setattr(engine._processor, "rounds", lambda jobs: [dict.fromkeys(range(len(jobs)), ACK)])
    monkeypatch.setattr(engine, "_look", lambda: stop.wait(0.01))

    def settle_or_fail(ended: list[tuple[Delivery, Ending]]) -> None:
        if any(delivery.message_id == "1" for delivery, _ in ended):
            raise RuntimeError("a frame that cannot be written")
        settle(ended)

    monkeypatch.setattr(engine._settler, "settle_all", settle_or_fail)
    first, second = StandingLink(), StandingLink()
    running = threading.Thread(target=engine.run, args=(stop,))
    running.start()
    try:
        _deliver(engine, first, ["1", "2"])
        wait_until("the link is given up", lambda: first.failure is not None, seconds=10)
        _deliver(engine, second, ["3"])
        wait_until("the worker goes on", lambda: second.acked == ["3"], seconds=10)
    finally:
        stop.set()
        running.join(10)
    assert first.failure == "a worker could not go on: RuntimeError: a frame that cannot be written"
    assert first.acked == []
    assert "its messages come again" in caplog.text


def _deliver(engine: ConsumerEngine, link: Link, names: Sequence[str]) -> None:
    for name in names:
        given: Any = headers(message_id=name, dop_msg_id=name)
        engine._buffer.put(Delivery("{}", given, link))
