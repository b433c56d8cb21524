"""The schedule of reports: no gap between periods, no day that does not exist, milestones where they belong."""

from __future__ import annotations

import calendar
import itertools
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from countersign.domain.agreement import Reporting
from countersign.domain.schedule import (
    Milestone,
    ReportKind,
    add_months,
    months_until,
    periods,
    releasing,
    rows,
)


def rules(every: int, **more: Any) -> Reporting:
    return Reporting(period_months=every, overdue_limit_days=60, **more)


instants = st.datetimes(datetime(2020, 1, 1), datetime(2080, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(instants, st.integers(1, 120), st.integers(1, 24))
def test_the_periods_cover_the_duration_without_a_gap(start: datetime, duration: int, every: int) -> None:
    some = periods(start, duration, rules(every))
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    assert some[0].starts_at == midnight
    assert some[-1].ends_at == add_months(midnight, duration)
    assert all(one.ends_at == other.starts_at for one, other in itertools.pairwise(some))
    assert all(one.starts_at < one.ends_at for one in some)
    assert [one.number for one in some] == list(range(1, len(some) + 1))
    assert [one.final for one in some] == [False] * (len(some) - 1) + [True]
    assert len(some) == -(-duration // every)


@given(instants, st.integers(0, 200))
def test_months_later_is_the_same_day_or_the_last_one_of_a_shorter_month(
    start: datetime, months: int
) -> None:
    later = add_months(start, months)
    assert (later.year * 12 + later.month) - (start.year * 12 + start.month) == months
    assert later.day == min(start.day, calendar.monthrange(later.year, later.month)[1])
    assert later.timetz() == start.timetz()


def test_an_initiative_that_begins_on_the_last_of_january_does_not_drift_to_the_28th() -> None:
    ends = [
        one.ends_at.date().isoformat()
        for one in periods(datetime(2027, 1, 31, 23, 59, tzinfo=UTC), 5, rules(1))
    ]
    assert ends == ["2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31", "2027-06-30"]
    assert add_months(datetime(2028, 1, 31, tzinfo=UTC), 1).day == 29  # a leap year


def test_the_first_day_is_that_of_utc() -> None:
    baku = timezone(timedelta(hours=4))
    assert periods(datetime(2027, 6, 1, 3, 0, tzinfo=baku), 6, rules(6))[0].starts_at == datetime(
        2027, 5, 31, tzinfo=UTC
    )


@given(instants, st.integers(0, 200))
def test_the_months_until_an_instant_are_the_fewest_after_which_it_has_come(
    start: datetime, months: int
) -> None:
    assert months_until(start, add_months(start, months)) == months
    assert months_until(start, add_months(start, months) + timedelta(days=1)) == months + 1


def kinds(duration: int, every: int, **more: Any) -> list[str]:
    return [one.kind.value for one in rows(duration, rules(every, **more))]


def test_every_report_tells_all_unless_the_agreement_asks_for_less() -> None:
    assert kinds(24, 6) == ["both"] * 4
    assert kinds(24, 6, financial_every=2) == ["progress", "both", "progress", "both"]
    assert kinds(15, 3, progress_every=4) == ["financial", "financial", "financial", "both", "both"]
    assert kinds(9, 3, progress_every=2) == ["financial", "both", "both"]  # the final one tells everything


def test_a_milestone_has_a_report_of_its_own_before_the_regular_one_of_its_month() -> None:
    milestones = [
        Milestone(id="late", month=7),
        Milestone(id="pilot", month=6),
        Milestone(id="plan", month=1),
    ]
    found = rows(12, rules(6), milestones)
    assert [(one.number, one.from_month, one.to_month, one.milestone, one.final) for one in found] == [
        (1, 0, 1, "plan", False),
        (2, 0, 6, "pilot", False),
        (3, 0, 6, None, False),
        (4, 6, 7, "late", False),
        (5, 6, 12, None, True),
    ]
    assert {one.kind for one in found if one.milestone} == {ReportKind.PROGRESS}
    assert releasing(found) == (3,)


@given(
    st.integers(2, 60),
    st.integers(1, 24),
    st.lists(st.integers(1, 59), max_size=8),
    st.sampled_from([{}, {"progress_every": 3}, {"financial_every": 2}]),
)
def test_milestones_change_nothing_about_the_regular_reports(
    duration: int, every: int, months: list[int], more: dict[str, int]
) -> None:
    milestones = [Milestone(id=f"m{i}", month=m) for i, m in enumerate(months) if m < duration]
    without, found = rows(duration, rules(every, **more)), rows(duration, rules(every, **more), milestones)
    regular = [one._replace(number=0) for one in found if one.milestone is None]
    assert regular == [one._replace(number=0) for one in without]
    assert sorted(one.milestone or "" for one in found if one.milestone) == sorted(m.id for m in milestones)
    assert [one.to_month for one in found] == sorted(one.to_month for one in found)
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert found[-1].final
    assert len(releasing(found)) == len(without) - 1
