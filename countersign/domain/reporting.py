"""Reports: the periods, when each may come and is due, and what a report says (DESIGN section 6)."""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from countersign.domain.agreement import Identifier, Language
from countersign.domain.amounts import COMPUTE_UNIT, Amount, total
from countersign.domain.canonical import content_hash
from countersign.domain.model import Model
from countersign.domain.proposal import (
    BudgetCategory,
    Part,
    ProposalFault,
    ProposalSummary,
    category_faults,
    oversized,
)
from countersign.domain.text import Line, Prose


class ReportState(StrEnum):
    """Where one report stands."""

    SCHEDULED = "scheduled"
    OVERDUE = "overdue"
    SUBMITTED = "submitted"
    CHANGES_REQUESTED = "changes_requested"
    ACCEPTED = "accepted"


class Period(Model):
    """What one report covers: from ``starts_at`` up to ``ends_at``; the last one is the final report."""

    number: int
    starts_at: datetime
    ends_at: datetime
    final: bool


class Disallowed(Model):
    """Costs of a partner that were accepted and turned out ineligible."""

    directorate: str
    partner: str
    amount: Amount


class ReportDue(Model):
    """A report of the schedule and where it stands. ``costs`` are those of the version that was submitted last.

    ``by_partner`` are the same for each partner, as far as they are known; ``disallowed`` is what was taken back since.
    ``is_late`` is whether it was told that its due date is over, ``reminded`` at how many days after it the applicants
    were reminded last (before it: negative), ``escalated`` whether every side was told. ``cut_short`` is the last
    one of a terminated initiative.
    """

    number: int
    starts_at: datetime
    ends_at: datetime
    due_at: datetime
    final: bool
    state: ReportState = ReportState.SCHEDULED
    version: int = 0
    content_hash: str | None = None
    costs: dict[str, tuple[Amount, ...]] = Field(default_factory=dict)
    by_partner: dict[str, tuple[Amount, ...]] | None = None
    disallowed: tuple[Disallowed, ...] | None = None
    is_late: bool = False
    reminded: int | None = None
    escalated: bool = False
    cut_short: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a version of it may be submitted."""
        return self.state in (ReportState.SCHEDULED, ReportState.OVERDUE, ReportState.CHANGES_REQUESTED)


class CostLine(Part):
    """A cost that one partner had in the period."""

    partner: Identifier
    category: BudgetCategory
    description: Line
    amount: Amount


class Report(Part):
    """A report as its applicant submits it."""

    narrative: dict[Language, Prose] = Field(min_length=1)
    deliverables: tuple[Line, ...] = Field(default=(), max_length=200)
    costs: tuple[CostLine, ...] = Field(default=(), max_length=2000)

    def document_form(self) -> dict[str, Any]:
        """The report as JSON data, the form that its content hash is taken over."""
        return self.model_dump(mode="json")

    def content_hash(self) -> str:
        return content_hash(self.document_form())


def add_months(start: datetime, months: int) -> datetime:
    """The same day and time so many months on; the month's last day where that day does not exist."""
    month = start.month - 1 + months
    year, month = start.year + month // 12, month % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def month_bounds(duration_months: int, period_months: int) -> tuple[int, ...]:
    """The months after which one report period ends and the next begins, from 0 to the end of the duration."""
    return (*range(0, duration_months, period_months), duration_months)


def periods(starts_at: datetime, duration_months: int, period_months: int) -> tuple[Period, ...]:
    """The report periods from ``starts_at`` on, without a gap, the last as long as what is left.

    They begin at UTC midnight of the day the initiative became active.
    """
    start = starts_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    bounds = month_bounds(duration_months, period_months)
    return tuple(
        Period(
            number=index + 1,
            starts_at=add_months(start, bounds[index]),
            ends_at=add_months(start, bounds[index + 1]),
            final=index == len(bounds) - 2,
        )
        for index in range(len(bounds) - 1)
    )


def report_faults(
    report: Report, summary: ProposalSummary, currencies: Mapping[str, str]
) -> list[ProposalFault]:
    """What makes a report contradict its initiative; such a one isn't taken."""
    return list(_report_faults(report, summary, currencies))


def _report_faults(
    report: Report, summary: ProposalSummary, currencies: Mapping[str, str]
) -> Iterator[ProposalFault]:
    for index, line in enumerate(report.costs):
        place, side = f"costs[{index}]", summary.partners.get(line.partner)
        if side is None:
            yield ProposalFault(f"{place}.partner", "reference", f"no partner {line.partner!r}")
            continue
        if line.amount.unit not in (currencies[side], COMPUTE_UNIT):
            problem = f"costs on the side of {side!r} are in {currencies[side]}"
            yield ProposalFault(f"{place}.amount", "currency", problem)
        yield from category_faults(place, line.category, line.amount)
    yield from oversized("costs", (line.amount for line in report.costs))


def costs_per_side(report: Report, summary: ProposalSummary) -> dict[str, tuple[Amount, ...]]:
    """The costs a report claims, per side, one amount a unit."""
    return {
        side: _total(line for line in report.costs if summary.partners.get(line.partner) == side)
        for side in summary.requested
    }


def costs_per_partner(report: Report) -> dict[str, tuple[Amount, ...]]:
    """The costs a report claims, per partner that has any, one amount a unit."""
    partners = dict.fromkeys(line.partner for line in report.costs)
    return {partner: _total(line for line in report.costs if line.partner == partner) for partner in partners}


def _total(lines: Iterable[CostLine]) -> tuple[Amount, ...]:
    return tuple(amount for _, amount in sorted(total(line.amount for line in lines).items()))
