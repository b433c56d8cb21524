"""Deadlines in working days, held against dates that were counted by hand in two calendars.

Israel rests on Friday and Saturday, Azerbaijan on Saturday and Sunday. The holidays of 2027 that matter here: in
Israel Passover's first day on Thursday 22 April and its seventh on Wednesday 28 April (the days between are working
days), Independence Day on Wednesday 12 May; in Azerbaijan Novruz from Saturday 20 to Wednesday 24 March, whose two
days that fall on days of rest are made good on Thursday 25 and Friday 26 March (Labour Code, article 105).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.testing import ActivityEnvironment

from countersign.activities.deadlines import (
    DeadlineQuestion,
    deadline,
    is_working_day,
    public_holidays,
    working_day_deadlines,
)
from countersign.domain.agreement import Calendar
from tests.domain.lives import two_sides

AGREEMENT, _ = two_sides()
IL, AZ = (one.calendar for one in AGREEMENT.directorate)


def last_day(calendar: Calendar, start: str, working_days: int) -> str:
    """The last day of a deadline that is counted from a local day at noon: it ends at that day's end."""
    zone = ZoneInfo(calendar.timezone)
    noon = datetime.fromisoformat(f"{start}T12:00").replace(tzinfo=zone)
    end = deadline(calendar, noon, working_days).astimezone(zone)
    assert (end.hour, end.minute, end.second) == (0, 0, 0)
    return (end.date() - timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        # Sunday 10 January 2027: Mon 11, Tue 12, Wed 13, Thu 14; Friday and Saturday rest; Sun 17 is the fifth.
        ("2027-01-10", 1, "2027-01-11"),
        ("2027-01-10", 4, "2027-01-14"),
        ("2027-01-10", 5, "2027-01-17"),
        # From a day of rest the count begins with the next working day: Friday 15 January, then Sunday 17.
        ("2027-01-15", 1, "2027-01-17"),
        ("2027-01-16", 1, "2027-01-17"),
        # Tuesday 20 April: Wed 21 (1); Thu 22 Passover; Fri, Sat; Sun 25 (2), Mon 26 (3), Tue 27 (4);
        # Wed 28 seventh day; Thu 29 (5); Fri, Sat; Sun 2 May (6).
        ("2027-04-20", 1, "2027-04-21"),
        ("2027-04-20", 2, "2027-04-25"),
        ("2027-04-20", 4, "2027-04-27"),
        ("2027-04-20", 5, "2027-04-29"),
        ("2027-04-20", 6, "2027-05-02"),
        # Monday 10 May: Tue 11 (1); Wed 12 Independence Day; Thu 13 (2); Fri, Sat; Sun 16 (3).
        ("2027-05-10", 3, "2027-05-16"),
    ],
)
def test_working_days_in_israel(start: str, days: int, end: str) -> None:
    assert last_day(IL, start, days) == end


@pytest.mark.parametrize(
    ("start", "days", "end"),
    [
        # Thursday 11 March 2027 (Women's Day was on the 8th): Fri 12 (1); Sat, Sun; Mon 15 (2).
        ("2027-03-11", 1, "2027-03-12"),
        ("2027-03-11", 2, "2027-03-15"),
        # Wednesday 17 March: Thu 18 (1), Fri 19 (2); Sat 20 to Wed 24 Novruz, Thu 25 and Fri 26 in place of the
        # Saturday and the Sunday; Sat 27, Sun 28; Mon 29 (3), Tue 30 (4).
        ("2027-03-17", 2, "2027-03-19"),
        ("2027-03-17", 3, "2027-03-29"),
        ("2027-03-17", 4, "2027-03-30"),
        # From the middle of Novruz: Monday 29 is the first.
        ("2027-03-22", 1, "2027-03-29"),
        # Friday 22 January: Sat, Sun; Mon 25 (1) … Fri 29 (5); Sat, Sun; Mon 1 February (6).
        ("2027-01-22", 5, "2027-01-29"),
        ("2027-01-22", 6, "2027-02-01"),
    ],
)
def test_working_days_in_azerbaijan(start: str, days: int, end: str) -> None:
    assert last_day(AZ, start, days) == end


def test_neither_side_loses_time_to_the_other_sides_rest() -> None:
    # Thursday 14 January 2027: Israel rests on Fri 15 and Sat 16, Azerbaijan on Sat 16 and Sun 17.
    assert last_day(IL, "2027-01-14", 1) == "2027-01-17"
    assert last_day(AZ, "2027-01-14", 1) == "2027-01-15"
    assert is_working_day(AZ, date(2027, 4, 22))  # Passover
    assert is_working_day(IL, date(2027, 3, 22))  # Novruz


def test_a_day_is_the_local_day() -> None:
    # 21:30 UTC on Monday 11 January is already Tuesday in Baku (UTC+4) but 23:30 on Monday in Jerusalem (UTC+2).
    start = datetime(2027, 1, 11, 21, 30, tzinfo=UTC)
    # The first working day: Tuesday 12 for Israel, Wednesday 13 for Azerbaijan; it ends at the next local midnight.
    assert deadline(IL, start, 1) == datetime(2027, 1, 12, 22, 0, tzinfo=UTC)
    assert deadline(AZ, start, 1) == datetime(2027, 1, 13, 20, 0, tzinfo=UTC)


def test_summer_time_moves_the_end_of_the_day_and_not_the_day() -> None:
    # Israel's clocks go forward on Friday 26 March 2027: midnight is 22:00 UTC before and 21:00 UTC after.
    before, after = (datetime(2027, 3, day, 10, 0, tzinfo=UTC) for day in (22, 28))
    assert deadline(IL, before, 1) == datetime(2027, 3, 23, 22, 0, tzinfo=UTC)
    assert deadline(IL, after, 1) == datetime(2027, 3, 29, 21, 0, tzinfo=UTC)


@given(
    st.sampled_from([IL, AZ]),
    st.datetimes(datetime(2026, 1, 1), datetime(2031, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.integers(1, 60),
)
def test_there_are_just_so_many_working_days_and_the_last_day_is_one(
    calendar: Calendar, start: datetime, days: int
) -> None:
    zone = ZoneInfo(calendar.timezone)
    first = start.astimezone(zone).date()
    end = deadline(calendar, start, days)
    last = end.astimezone(zone).date() - timedelta(days=1)
    between = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    assert sum(is_working_day(calendar, day) for day in between) == days
    assert is_working_day(calendar, last)
    assert end > start
    assert deadline(calendar, start, days + 1) > end


def test_a_country_that_nobody_knows_the_holidays_of_is_an_error_and_not_a_year_without_holidays() -> None:
    with pytest.raises(NotImplementedError):
        public_holidays("XX", None, 2027)


async def test_the_activity_answers_in_the_order_of_the_questions() -> None:
    start = datetime(2027, 3, 17, 8, 0, tzinfo=UTC)
    questions = [
        DeadlineQuestion(calendar=calendar, start=start, working_days=days)
        for calendar, days in ((AZ, 3), (IL, 3), (AZ, 1))
    ]
    answer = await ActivityEnvironment().run(working_day_deadlines, questions)
    assert answer.deadlines == tuple(deadline(q.calendar, q.start, q.working_days) for q in questions)
    assert answer.deadlines[0] > answer.deadlines[1] > answer.deadlines[2]
