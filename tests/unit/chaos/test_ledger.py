"""The account calls each message by its right name."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from tests.chaos.ledger import Books, Report, judge


def _books(**changed: Any) -> Books:
    whole: dict[str, Any] = {
        "committed": [1, 2, 3],
        "effects": [1, 2, 3],
        "unsent": [],
        "queued": {"chaos": []},
        "keyed": [],
        "has_keys": True,
        "received": 3,
        "published": 3,
    }
    return Books(**whole | changed)


def test_one_effect_for_each_message_is_good() -> None:
    assert judge(_books()).good


def test_a_message_that_is_nowhere_is_lost() -> None:
    verdict = judge(_books(effects=[1, 3]))
    assert (verdict.lost, verdict.stuck_count, verdict.good) == ((2,), 0, False)


def test_a_message_that_is_still_in_the_outbox_or_in_a_queue_is_stuck() -> None:
    verdict = judge(_books(effects=[1], unsent=[2], queued={"DLQ.chaos": [3]}))
    assert verdict.stuck == {"the outbox": (2,), "queue DLQ.chaos": (3,)}
    assert (verdict.lost, verdict.stuck_count, verdict.good) == ((), 2, False)


def test_a_message_in_two_places_is_stuck_once() -> None:
    assert judge(_books(effects=[1, 2], unsent=[3], queued={"chaos": [3, 3]})).stuck_count == 1


def test_a_duplicate_left_in_a_queue_is_nothing_when_the_message_had_its_effect() -> None:
    assert judge(_books(queued={"chaos": [2]})).good


def test_two_effects_of_one_message_are_doubled() -> None:
    verdict = judge(_books(effects=[1, 2, 2, 3]))
    assert (verdict.doubled, verdict.good) == ((2,), False)


def test_an_effect_of_a_transaction_that_was_rolled_back_is_a_ghost() -> None:
    verdict = judge(_books(effects=[1, 2, 3, 4]))
    assert (verdict.ghosts, verdict.good) == ((4,), False)


def test_a_message_that_comes_after_a_later_one_of_its_key_was_overtaken() -> None:
    verdict = judge(_books(keyed=[("a", 1), ("a", 3), ("b", 1), ("a", 2)]))
    assert (verdict.disordered, verdict.good) == ((2,), False)


def test_order_is_not_asked_of_a_library_that_does_not_promise_it() -> None:
    assert judge(_books(keyed=[("a", 2), ("a", 1)], has_keys=False)).good


def test_a_further_copy_of_a_message_is_no_matter_of_order() -> None:
    assert judge(_books(keyed=[("a", 1), ("a", 2), ("a", 1), ("a", 2), ("a", 3)])).good


def _report() -> Report:
    return Report(
        library="x",
        mode="one broker",
        seed=1,
        seconds=1.0,
        books=_books(),
        verdict=judge(_books()),
        faults={"relay": Counter(kill=2)},
        rolled_back=0,
        duplicates=0,
        recovery=0.0,
        longest_silence=0.0,
    )


def test_a_rig_that_failed_proves_nothing() -> None:
    report = _report()
    assert report.good
    report.trouble.append("kill broker: it did not come back")
    assert not report.good
    assert "it did not come back" in "\n".join(report.lines())


def test_a_run_that_did_not_settle_is_not_good() -> None:
    assert not replace(_report(), recovery=None).good
