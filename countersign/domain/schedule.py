"""When reports are to come, and of what kind each is: regular ones by the agreement, one for each milestone besides."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from countersign.domain.agreement import Reporting
from countersign.domain.model import Model


class ReportKind(StrEnum):
    """What a report is to tell: how the work goes, what was spent, or both."""

    PROGRESS = "progress"
    FINANCIAL = "financial"
    BOTH = "both"

    @property
    def has_accounts(self) -> bool:
        return self is not ReportKind.PROGRESS

    @property
    def tells_progress(self) -> bool:
        return self is not ReportKind.FINANCIAL


class Milestone(Model):
    """A milestone of the proposal: reached by the end of a month, counted from the start of the initiative."""

    id: str
    month: int


class Row(NamedTuple):
    """A report in months from the start: what it covers lies between ``from_month`` and ``to_month``, both ends of one.

    ``milestone`` is the one that it is about, if it is not a regular one; ``final`` the last.
    """

    number: int
    from_month: int
    to_month: int
    final: bool
    kind: ReportKind
    milestone: str | None


class Period(Model):
    """A report in time: from ``starts_at`` up to ``ends_at``; otherwise like :class:`Row`."""

    number: int
    starts_at: datetime
    ends_at: datetime
    final: bool
    kind: ReportKind = ReportKind.BOTH
    milestone: str | None = None


class Scheduled(Protocol):
    """A report of some schedule."""

    @property
    def number(self) -> int: ...
    @property
    def final(self) -> bool: ...
    @property
    def milestone(self) -> str | None: ...


def rows(
    duration_months: int, rules: Reporting, milestones: Sequence[Milestone] | None = None
) -> tuple[Row, ...]:
    """The reports of an initiative, in the order in which they are to come.

    Regular ones follow each other without a gap, the last one as long as what is left of the duration. One on a
    milestone comes before the regular one that ends with the same month; it is on the time since the last regular one.
    """
    bounds = (*range(0, duration_months, rules.period_months), duration_months)
    last = len(bounds) - 1
    found = [
        Row(0, bounds[n - 1], bounds[n], n == last, _kind(n, n == last, rules), None)
        for n in range(1, last + 1)
    ]
    for one in milestones or ():
        since = max(month for month in bounds if month < one.month)
        found.append(Row(0, since, one.month, False, ReportKind.PROGRESS, one.id))
    in_order = sorted(found, key=lambda row: (row.to_month, row.milestone is None))
    return tuple(row._replace(number=number) for number, row in enumerate(in_order, 1))


def _kind(number: int, final: bool, rules: Reporting) -> ReportKind:
    """What the regular report of that number is to tell; the final one tells everything."""
    progress = final or number % (rules.progress_every or 1) == 0
    accounts = final or number % (rules.financial_every or 1) == 0
    if progress and accounts:
        return ReportKind.BOTH
    return ReportKind.PROGRESS if progress else ReportKind.FINANCIAL


def periods(
    starts_at: datetime,
    duration_months: int,
    rules: Reporting,
    milestones: Sequence[Milestone] | None = None,
) -> tuple[Period, ...]:
    """The same in time. They begin at UTC midnight of the day the initiative became active."""
    start = starts_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return tuple(
        Period(
            number=row.number,
            starts_at=add_months(start, row.from_month),
            ends_at=add_months(start, row.to_month),
            final=row.final,
            kind=row.kind,
            milestone=row.milestone,
        )
        for row in rows(duration_months, rules, milestones)
    )


def releasing(reports: Iterable[Scheduled]) -> tuple[int, ...]:
    """The numbers of the reports whose acceptance releases a tranche: the regular ones but for the final one."""
    return tuple(one.number for one in reports if one.milestone is None and not one.final)


def add_months(start: datetime, months: int) -> datetime:
    """The same day and time so many months on; the month's last day where that day does not exist."""
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def months_until(start: datetime, instant: datetime) -> int:
    """The months from ``start`` after which an instant has come; one that has begun counts."""
    months = max(0, (instant.year - start.year) * 12 + instant.month - start.month - 1)
    while add_months(start, months) < instant:
        months += 1
    return months
