"""A resting publisher looks quickly at first and slowly later."""

from __future__ import annotations

from django_outbox.pace import Pace


def test_rests_grow_to_the_slowest_and_begin_anew_on_a_hurry() -> None:
    pace = Pace(0.1)
    assert [pace.rest() for _ in range(7)] == [0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.1]
    pace.hurry()
    assert pace.rest() == 0.005


def test_no_rest_is_longer_than_the_setting() -> None:
    assert Pace(0.002).rest() == 0.002


def test_quick_looks_go_on_for_longer_than_writers_keep_quiet() -> None:
    pace = Pace(1)
    assert sum(pace.rest() for _ in range(4)) > 0.05
