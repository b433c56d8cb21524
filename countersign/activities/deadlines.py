"""Deadlines in working days: an activity, so that the answer is fixed in the history.

The public holidays come from the ``holidays`` library; a later release of it may know better, and a running
initiative keeps what it was told.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import holidays
from temporalio import activity

from countersign.domain.agreement import Calendar
from countersign.domain.model import Model

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class DeadlineQuestion(Model):
    """How many working days of a calendar, counted from the day after an instant."""

    calendar: Calendar
    start: datetime
    working_days: int


class DeadlineAnswer(Model):
    """The deadlines, in the order of the questions."""

    deadlines: tuple[datetime, ...]


@lru_cache(maxsize=256)
def public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """The public holidays of a country (ISO 3166-1) in a year.

    Raises:
        NotImplementedError: when the library does not know the country.
    """
    return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))


def is_working_day(calendar: Calendar, day: date) -> bool:
    """Whether a side works on that day: neither a weekly day of rest nor a public holiday."""
    if _WEEKDAYS[day.weekday()] in calendar.weekend:
        return False
    return day not in public_holidays(calendar.country, calendar.subdivision, day.year)


def deadline(calendar: Calendar, start: datetime, working_days: int) -> datetime:
    """The end (local midnight, in UTC) of the so-manieth working day after the local day of ``start``."""
    zone = ZoneInfo(calendar.timezone)
    day = start.astimezone(zone).date()
    left = working_days
    while left:
        day += timedelta(days=1)
        left -= is_working_day(calendar, day)
    return datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)


@activity.defn(name="working_day_deadlines")
async def working_day_deadlines(questions: list[DeadlineQuestion]) -> DeadlineAnswer:
    """Count working days."""
    return DeadlineAnswer(deadlines=tuple(deadline(q.calendar, q.start, q.working_days) for q in questions))
