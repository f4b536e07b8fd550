"""The times of the Lease keep their promises: who takes over when, and who may write until when."""

from __future__ import annotations

from outbox_operator.leader import (
    LEASE_SECONDS,
    RENEW_DEADLINE_SECONDS,
    REQUEST_SECONDS,
    RETRY_SECONDS,
    TAKE_OVER_SECONDS,
)


def test_a_killed_operator_is_replaced_within_15_seconds() -> None:
    # The renewal is noticed a look later, lasts, and its end is noticed a look later.
    assert RETRY_SECONDS + LEASE_SECONDS + RETRY_SECONDS < TAKE_OVER_SECONDS == 15


def test_a_lead_that_cannot_be_renewed_is_given_up_before_another_may_take_it() -> None:
    assert RENEW_DEADLINE_SECONDS + REQUEST_SECONDS < LEASE_SECONDS
    assert 2 * RETRY_SECONDS < RENEW_DEADLINE_SECONDS, "one lost request must not cost the lead"
