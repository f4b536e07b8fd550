"""Ids of new rows sort by the time they were made."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING

from django_outbox import ids
from django_outbox.ids import uuid7

if TYPE_CHECKING:
    import pytest


def test_an_id_is_a_uuid_of_version_7_that_tells_the_time() -> None:
    before = time.time_ns() // 1_000_000
    value = uuid7()
    after = time.time_ns() // 1_000_000
    assert value.variant == uuid.RFC_4122
    assert value.version == 7
    assert before <= value.int >> 80 <= after + 1


def test_ids_of_a_process_grow_even_when_the_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    monkeypatch.setattr(ids.time, "time_ns", lambda: now)
    made = [uuid7() for _ in range(10_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_grow_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uuid7()
    now = time.time_ns() - 3_600 * 10**9
    monkeypatch.setattr(ids.time, "time_ns", lambda: now)
    assert uuid7() > first


def test_threads_never_make_the_same_id() -> None:
    made: list[list[uuid.UUID]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda out=out: out.extend(uuid7() for _ in range(2000))) for out in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({value for out in made for value in out}) == 8000
    assert all(out == sorted(out) for out in made)
