"""The work queue: each key once, never twice at the same time, again after failures, and none held up by another."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from outbox_operator.api.resource import PUBLISHER, Key
from outbox_operator.errors import UnreachableError
from outbox_operator.workqueue import PATIENCE_SECONDS, Lanes, WorkQueue, backoff_seconds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

A, B = Key(PUBLISHER, "shop", "a"), Key(PUBLISHER, "shop", "b")


@asynccontextmanager
async def running(queue: WorkQueue, workers: int = 2) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(queue.work()) for _ in range(workers)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool], what: Any) -> None:
    try:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0)
    except TimeoutError:
        pytest.fail(f"did not happen within 5 s; state: {what}")


async def test_a_key_added_many_times_is_handled_once() -> None:
    handled: Counter[Key] = Counter()

    async def handle(key: Key) -> None:
        handled[key] += 1

    queue = WorkQueue(handle)
    for _ in range(5):
        queue.add(A)
    queue.add(B)
    async with running(queue):
        await until(lambda: handled[B] == 1, handled)
    assert handled == {A: 1, B: 1}


async def test_a_key_added_while_it_is_handled_is_handled_again_and_never_twice_at_once() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    active, most, times = 0, 0, 0

    async def handle(key: Key) -> None:
        nonlocal active, most, times
        active += 1
        most = max(most, active)
        entered.set()
        await leave.wait()
        times += 1
        active -= 1

    queue = WorkQueue(handle)
    queue.add(A)
    async with running(queue):
        await entered.wait()
        queue.add(A)
        queue.add(A)
        leave.set()
        await until(lambda: times == 2, times)
    assert most == 1


async def test_a_failing_key_is_tried_again_and_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("outbox_operator.workqueue.backoff_seconds", lambda _: 0.01)
    handled: Counter[Key] = Counter()

    async def handle(key: Key) -> None:
        handled[key] += 1
        if key == A and handled[A] < 3:
            raise UnreachableError("no answer")

    queue = WorkQueue(handle)
    queue.add(A)
    queue.add(B)
    with caplog.at_level(logging.WARNING):
        async with running(queue, workers=1):
            await until(lambda: handled == {A: 3, B: 1}, handled)
    assert "Publisher shop/a: no answer; trying again" in caplog.text


async def test_a_key_that_asks_for_it_is_looked_at_again_later() -> None:
    handled = 0

    async def handle(key: Key) -> float | None:
        nonlocal handled
        handled += 1
        return 0.01 if handled == 1 else None

    queue = WorkQueue(handle)
    queue.add(A)
    async with running(queue):
        await until(lambda: handled == 2, handled)


async def test_adding_now_beats_a_delay_and_the_delay_is_forgotten() -> None:
    handled = 0

    async def handle(key: Key) -> None:
        nonlocal handled
        handled += 1

    queue = WorkQueue(handle)
    queue.add_after(A, 3600)
    queue.add(A)
    async with running(queue):
        await until(lambda: handled == 1, handled)
    assert not queue._timers


async def test_an_earlier_delay_wins_over_a_later_one() -> None:
    queue = WorkQueue(_nothing)
    queue.add_after(A, 10)
    first = queue._timers[A]
    queue.add_after(A, 20)
    assert queue._timers[A] is first
    queue.add_after(A, 5)
    assert queue._timers[A].when() < first.when()
    queue._timers[A].cancel()


async def _nothing(key: Key) -> None:
    return None


async def test_a_closed_queue_finishes_what_is_in_flight_and_starts_nothing() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()
    handled: list[Key] = []

    async def handle(key: Key) -> None:
        entered.set()
        await leave.wait()
        handled.append(key)

    queue = WorkQueue(handle)
    queue.add(A)
    async with running(queue, workers=1):
        await entered.wait()
        queue.add(B)
        queue.close()
        assert not await queue.idle(0.01)
        leave.set()
        assert await queue.idle(5)
    assert handled == [A]


def test_delays_double_up_to_a_minute_and_are_spread() -> None:
    assert [backoff_seconds(n, jitter=lambda: 1.0) for n in (1, 2, 3, 4, 100)] == [0.5, 1, 2, 4, 60]
    assert backoff_seconds(1, jitter=lambda: 0.0) == 0.25


def named(name: str) -> Key:
    return Key(PUBLISHER, "shop", name)


async def taken(lanes: Lanes, number: int) -> str:
    return "".join([(await lanes.get()).name for _ in range(number)])


async def test_keys_that_come_first_are_taken_first_and_the_others_in_their_order() -> None:
    lanes = Lanes(lambda key: key.name.isupper(), clock=lambda: 0.0)
    for name in "aAbBc":
        lanes.put(named(name))
    assert await taken(lanes, 5) == "ABabc"


async def test_keys_that_have_waited_for_long_have_every_fourth_turn() -> None:
    now = 0.0
    lanes = Lanes(lambda key: key.name.isupper(), clock=lambda: now)
    for name in "aABCbDEFG":
        lanes.put(named(name))
    now = PATIENCE_SECONDS + 1
    assert await taken(lanes, 9) == "ABCaDEFbG"


async def test_an_empty_queue_waits_for_the_next_key() -> None:
    lanes = Lanes(lambda _: False)
    waiting = asyncio.create_task(lanes.get())
    await asyncio.sleep(0)
    lanes.put(A)
    assert await waiting == A


async def test_who_waits_for_those_that_come_first_goes_on_when_all_are_taken_or_patience_is_over() -> None:
    lanes = Lanes(lambda key: key.name.isupper())
    await lanes.first_taken(60)
    for name in "aAB":
        lanes.put(named(name))
    waiting = asyncio.create_task(lanes.first_taken(60))
    await taken(lanes, 1)
    await lanes.first_taken(0.001)
    assert not waiting.done()
    await taken(lanes, 1)
    await waiting
