"""The schedule of a row that the broker does not take."""

from __future__ import annotations

import pytest
from django.test import override_settings

from django_outbox.retry import RetryPolicy

DOCUMENTED = RetryPolicy(maximum=50, pause=240, wait=60)


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 0), (2, 0), (3, 240), (4, 60), (5, 60), (49, 60), (50, None), (51, None)]
)
def test_three_quick_sends_then_a_pause_then_an_even_pace_until_it_is_given_up(
    failures: int, seconds: float | None
) -> None:
    assert DOCUMENTED.seconds_until_next(failures) == seconds


def test_a_row_that_may_fail_once_is_given_up_at_once() -> None:
    assert RetryPolicy(maximum=1, pause=240, wait=60).seconds_until_next(1) is None


def test_the_settings_make_the_schedule() -> None:
    assert RetryPolicy.from_settings() == DOCUMENTED
    own = {"DEFAULT_MAXIMUM_RETRY_ATTEMPTS": 7, "DEFAULT_PAUSE_FOR_RETRY": 1, "DEFAULT_WAIT_RETRY": 0.5}
    with override_settings(DJANGO_OUTBOX_PATTERN=own):
        assert RetryPolicy.from_settings() == RetryPolicy(maximum=7, pause=1, wait=0.5)
