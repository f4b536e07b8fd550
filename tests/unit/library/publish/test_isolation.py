"""Who is to blame when the broker does not say."""

from __future__ import annotations

import datetime as dt
import uuid

from django_outbox.isolation import Isolation, Verdict
from django_outbox.store import ClaimedRow
from django_outbox.transport.base import SendReport, Unsettled


def _rows(count: int, retry: int = 0) -> list[ClaimedRow]:
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC).timestamp()
    return [ClaimedRow(uuid.uuid4(), "/topic/a", {}, {}, now, retry) for _ in range(count)]


def _report(unsettled: Unsettled | None = None, confirmed: list[ClaimedRow] | None = None) -> SendReport:
    return SendReport(confirmed={row.id: 0.0 for row in confirmed or []}, unsettled=unsettled)


def test_the_batch_is_halved_with_each_unexplained_loss_until_one_row_is_alone() -> None:
    isolation = Isolation(8)
    limits = []
    verdicts = []
    for _ in range(5):
        rows = _rows(isolation.limit)
        verdicts.append(isolation.judge(rows, _report(Unsettled.CONNECTION_LOST)))
        limits.append(isolation.limit)
    assert limits == [4, 2, 1, 1, 1]
    assert verdicts == [Verdict.RELEASE, Verdict.RELEASE, Verdict.RELEASE, Verdict.CHARGE, Verdict.CHARGE]


def test_the_batch_grows_back_with_each_success() -> None:
    isolation = Isolation(5, limit=1)
    isolation.limit = 1
    limits = []
    for _ in range(4):
        rows = _rows(isolation.limit)
        isolation.judge(rows, _report(confirmed=rows))
        limits.append(isolation.limit)
    assert limits == [2, 4, 5, 5]


def test_a_row_that_is_alone_by_chance_gets_a_second_try_before_it_is_blamed() -> None:
    isolation = Isolation(500)
    [row] = _rows(1)
    assert isolation.judge([row], _report(Unsettled.CONNECTION_LOST)) is Verdict.RELEASE
    assert isolation.judge([row], _report(Unsettled.CONNECTION_LOST)) is Verdict.CHARGE


def test_a_row_that_failed_before_is_blamed_and_costs_the_others_no_batch_size() -> None:
    isolation = Isolation(500)
    assert isolation.judge(_rows(1, retry=3), _report(Unsettled.CONNECTION_LOST)) is Verdict.CHARGE
    assert isolation.limit == 500


def test_a_refusal_with_a_name_on_it_clears_the_rest() -> None:
    isolation = Isolation(500)
    rows = _rows(10)
    report = _report(Unsettled.CONNECTION_LOST)
    report.refused[rows[3].id] = "no"
    assert isolation.judge(rows, report) is Verdict.RELEASE
    assert isolation.limit == 500


def test_silence_about_some_while_others_are_confirmed_is_their_own_doing() -> None:
    rows = _rows(10)
    assert Isolation(500).judge(rows, _report(Unsettled.TIMEOUT, confirmed=rows[:9])) is Verdict.CHARGE


def test_silence_about_everything_blames_nobody() -> None:
    isolation = Isolation(500)
    assert isolation.judge(_rows(10), _report(Unsettled.TIMEOUT)) is Verdict.RELEASE
    assert isolation.limit == 5


def test_silence_about_a_lone_row_counts_only_when_others_were_confirmed_since() -> None:
    isolation = Isolation(500)
    [silent], [other] = _rows(1), _rows(1)
    assert isolation.judge([silent], _report(Unsettled.TIMEOUT)) is Verdict.DEFER
    assert isolation.judge([silent], _report(Unsettled.TIMEOUT)) is Verdict.DEFER
    isolation.judge([other], _report(confirmed=[other]))
    assert isolation.judge([silent], _report(Unsettled.TIMEOUT)) is Verdict.CHARGE


def test_the_memory_of_silent_rows_is_bounded() -> None:
    isolation = Isolation(500)
    for row in _rows(5000):
        isolation.judge([row], _report(Unsettled.TIMEOUT))
    assert len(isolation._silent_since) <= 1000
