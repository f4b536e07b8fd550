"""Events beside the work: in their order, never in its way, and counted when they are lost."""

from __future__ import annotations

import asyncio
from typing import Any

from outbox_operator import metrics
from outbox_operator.api.resource import PUBLISHER, Identity, Key
from outbox_operator.errors import UnreachableError
from outbox_operator.events import Event
from outbox_operator.teller import LINES, Teller

ORDERS = Identity(Key(PUBLISHER, "shop", "orders"), "u")


class PostingApi:
    """Takes Events, each of them once it is let."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def create(self, type_: Any, obj: dict[str, Any]) -> None:
        await self.open.wait()
        self.posted.append(obj["reason"])
        if obj["reason"] == "Refused":
            raise UnreachableError("no answer")


def event(reason: str) -> Event:
    return Event("Normal", reason, "words.")


def dropped() -> float:
    return metrics.EVENTS_DROPPED._value.get()


async def test_events_are_posted_in_their_order_and_a_refused_one_stops_nothing() -> None:
    api = PostingApi()
    teller = Teller(api, "operator-1")  # type: ignore[arg-type]
    task = asyncio.create_task(teller.run())
    for reason in ("Created", "Refused", "Available"):
        teller.tell(ORDERS, event(reason))
    await teller.flush(5)
    task.cancel()
    assert api.posted == ["Created", "Refused", "Available"]


async def test_telling_waits_for_nobody_and_what_is_too_much_is_dropped_and_counted() -> None:
    api, before = PostingApi(), dropped()
    teller = Teller(api, "operator-1", waiting=2 * LINES)  # type: ignore[arg-type]
    for number in range(5):
        teller.tell(ORDERS, event(f"Number{number}"))
    assert dropped() == before + 3
    task = asyncio.create_task(teller.run())
    await teller.flush(5)
    task.cancel()
    assert api.posted == ["Number0", "Number1"]


async def test_at_the_end_what_cannot_be_posted_in_time_is_dropped_and_counted() -> None:
    api, before = PostingApi(), dropped()
    api.open.clear()
    teller = Teller(api, "operator-1")  # type: ignore[arg-type]
    task = asyncio.create_task(teller.run())
    for number in range(3):
        teller.tell(ORDERS, event(f"Number{number}"))
    await teller.flush(0.05)
    task.cancel()
    # The first is on its way; whether it arrives nobody knows.
    assert dropped() == before + 2
