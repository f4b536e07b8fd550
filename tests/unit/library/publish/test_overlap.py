"""While a batch is on the wire the one before is settled and the one after is claimed, and nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from django_outbox.health import Health
from django_outbox.lifecycle import StopSignal
from django_outbox.models import Published
from django_outbox.relay import Relay, RelayOptions
from django_outbox.transport.memory import MemoryBroker, MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from django_outbox.transport.base import Outgoing, Patience, SendReport

pytestmark = pytest.mark.django_db(transaction=True)

BATCH = 10


class _Watched(MemoryTransport):
    """Calls ``look`` with the number of the batch when it is on the wire, before and after what is done meanwhile."""

    def __init__(self, broker: MemoryBroker, look: Callable[[int, str], None]) -> None:
        super().__init__(broker)
        self.look = look
        self.batches = 0

    def send(
        self, messages: list[Outgoing], patience: Patience, meanwhile: Callable[[], None] | None = None
    ) -> SendReport:
        self.batches += 1
        self.look(self.batches, "before")
        report = super().send(messages, patience, meanwhile)
        self.look(self.batches, "after")
        return report


def _fill(count: int, destination: str = "/topic/a") -> None:
    Published.objects.bulk_create(Published(destination=destination, body={"n": n}) for n in range(count))


def _run(broker: MemoryBroker, look: Callable[[int, str, StopSignal], None]) -> int:
    """Run a relay until there is nothing left, or until ``look`` stops it."""
    stop = StopSignal()
    options = RelayOptions("default", BATCH, 120.0, 5.0, 0.01, 5.0)
    transport = _Watched(broker, lambda number, when: look(number, when, stop))
    relay = Relay(transport, stop, Health("publisher"), options)

    def rest(_seconds: float) -> bool:
        if not Published.objects.filter(status=1, next_attempt_at__isnull=True).exists():
            stop.set()
        return stop.is_set()

    stop.wait = rest  # type: ignore[method-assign]
    return relay.run()


def _states() -> dict[str, int]:
    rows = Published.objects.all()
    return {"sent": rows.filter(status=2).count(), "held": rows.filter(claim_token__isnull=False).count()}


def _nothing(_number: int, _when: str, _stop: StopSignal) -> None:
    """Only watch."""


def test_the_batch_before_is_settled_and_the_next_claimed_while_one_is_on_the_wire() -> None:
    _fill(3 * BATCH)
    seen: dict[tuple[int, str], dict[str, int]] = {}
    _run(MemoryBroker(), lambda number, when, _stop: seen.update({(number, when): _states()}))
    assert seen[2, "before"] == {"sent": 0, "held": 2 * BATCH}
    assert seen[2, "after"] == {"sent": BATCH, "held": 2 * BATCH}


def test_all_is_settled_at_the_end_and_sent_once() -> None:
    _fill(5 * BATCH + 3)
    broker = MemoryBroker()
    assert _run(broker, _nothing) == 0
    assert _states() == {"sent": 5 * BATCH + 3, "held": 0}
    assert len(broker.messages) == 5 * BATCH + 3


def test_a_stop_settles_what_was_sent_and_gives_back_what_was_claimed_ahead() -> None:
    _fill(5 * BATCH)
    broker = MemoryBroker()

    def stop_in_the_second(number: int, when: str, stop: StopSignal) -> None:
        if (number, when) == (2, "after"):
            stop.set()

    assert _run(broker, stop_in_the_second) == 0
    assert _states() == {"sent": 2 * BATCH, "held": 0}
    assert len(broker.messages) == 2 * BATCH


@pytest.mark.parametrize("lost_in", [1, BATCH + 1, 2 * BATCH + 5])
def test_a_connection_that_is_lost_loses_no_row(lost_in: int) -> None:
    _fill(4 * BATCH)
    broker = MemoryBroker(lose_after=lost_in)
    assert _run(broker, _nothing) == 0
    assert broker.connects == 2
    assert _states() == {"sent": 4 * BATCH, "held": 0}


def test_a_refused_row_among_many_costs_only_itself() -> None:
    _fill(BATCH)
    _fill(1, "/topic/bad")
    _fill(2 * BATCH)
    broker = MemoryBroker(refuses={"/topic/bad"})
    assert _run(broker, _nothing) == 0
    assert _states()["sent"] == 3 * BATCH
    assert Published.objects.get(destination="/topic/bad").retry >= 1
