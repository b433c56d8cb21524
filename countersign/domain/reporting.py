"""Reports: where each one stands, and what a report says (DESIGN section 6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from countersign.domain.agreement import Identifier, Language
from countersign.domain.amounts import COMPUTE_UNIT, Amount, total
from countersign.domain.canonical import content_hash
from countersign.domain.model import Model, Sha256
from countersign.domain.proposal import (
    BudgetCategory,
    Part,
    ProposalFault,
    ProposalSummary,
    category_faults,
    oversized,
)
from countersign.domain.schedule import ReportKind
from countersign.domain.text import Line, Prose


class ReportState(StrEnum):
    """Where one report stands."""

    SCHEDULED = "scheduled"
    OVERDUE = "overdue"
    SUBMITTED = "submitted"
    CHANGES_REQUESTED = "changes_requested"
    ACCEPTED = "accepted"
    WAIVED = "waived"


FINISHED: Final = frozenset({ReportState.ACCEPTED, ReportState.WAIVED})
"""The states of a report that is waited for no more."""


class Disallowed(Model):
    """Costs of a partner that were accepted and turned out ineligible."""

    directorate: str
    partner: str
    amount: Amount


class Uncut(Model):
    """What a report was to be before it was cut short."""

    ends_at: datetime
    due_at: datetime
    final: bool
    kind: ReportKind = ReportKind.BOTH
    milestone: str | None = None


class ReportDue(Model):
    """A report of the schedule and where it stands. ``costs`` are those of the version that was submitted last.

    ``by_partner`` are the same for each partner, as far as they are known; ``disallowed`` is what was taken back since,
    ``waived_by`` the sides that do without it. ``is_late`` is whether it was told that its due date is over,
    ``reminded`` at how many days after it the applicants were reminded last (before it: negative), ``escalated``
    whether every side was told. ``cut_short`` is the last one of a terminated initiative, ``uncut`` what it was before.
    """

    number: int
    starts_at: datetime
    ends_at: datetime
    due_at: datetime
    final: bool
    kind: ReportKind = ReportKind.BOTH
    milestone: str | None = None
    state: ReportState = ReportState.SCHEDULED
    version: int = 0
    content_hash: str | None = None
    costs: dict[str, tuple[Amount, ...]] = Field(default_factory=dict)
    by_partner: dict[str, tuple[Amount, ...]] | None = None
    disallowed: tuple[Disallowed, ...] | None = None
    waived_by: tuple[str, ...] | None = None
    is_late: bool = False
    reminded: int | None = None
    escalated: bool = False
    cut_short: bool = False
    uncut: Uncut | None = None

    @property
    def is_open(self) -> bool:
        """Whether a version of it may be submitted."""
        return self.state in (ReportState.SCHEDULED, ReportState.OVERDUE, ReportState.CHANGES_REQUESTED)


class CostLine(Part):
    """A cost that one partner had in the period; ``evidence`` is the hash of the paper that shows it."""

    partner: Identifier
    category: BudgetCategory
    description: Line
    amount: Amount
    incurred_on: date | None = None
    evidence: Sha256 | None = None


class Progress(Part):
    """Where one of the proposal's work packages stands, and which of its deliverables were delivered."""

    work_package: Annotated[int, Field(ge=1, le=99)]
    status: Literal["not_begun", "on_time", "late", "done", "given_up"]
    delivered: tuple[Line, ...] = Field(default=(), max_length=50)
    note: Line | None = None


class Output(Part):
    """Something that came of the work, and where it can be found."""

    kind: Literal["publication", "data_set", "software", "patent", "training", "event", "other"]
    title: Line
    reference: Line | None = None
    work_package: Annotated[int, Field(ge=1, le=99)] | None = None


class Report(Part):
    """A report as its applicant submits it.

    ``reached_on`` is the day on which the milestone was reached that a report is about; without it it was not.
    """

    narrative: dict[Language, Prose] = Field(default_factory=dict)
    deliverables: tuple[Line, ...] = Field(default=(), max_length=200)
    costs: tuple[CostLine, ...] = Field(default=(), max_length=2000)
    progress: tuple[Progress, ...] = Field(default=(), max_length=99)
    outputs: tuple[Output, ...] = Field(default=(), max_length=200)
    reached_on: date | None = None

    def document_form(self) -> dict[str, Any]:
        """The report as JSON data, the form that its content hash is taken over.

        What reports could not say at first is left out where it isn't said: those on record keep their hash.
        """
        form = self.model_dump(mode="json")
        for block, later in (
            *((form, name) for name in ("progress", "outputs", "reached_on")),
            *((line, name) for line in form["costs"] for name in ("incurred_on", "evidence")),
        ):
            if not block[later]:
                del block[later]
        return form

    def content_hash(self) -> str:
        return content_hash(self.document_form())

    def attached(self) -> dict[str, str]:
        """The hashes of the papers that show its costs, by their places in it."""
        return {
            f"costs[{i}].evidence": one.evidence
            for i, one in enumerate(self.costs)
            if one.evidence is not None
        }


class Against(Model):
    """What a report is held against: who is in the initiative, in which currency each side pays, and the period.

    ``work_packages`` are those of the proposal in force with their deliverables, ``began_at`` is when the first period
    began; none of the three where a running initiative does not know them. ``kind`` is what it is to tell, and
    ``milestone`` what it is about, if it is not a regular one.
    """

    summary: ProposalSummary
    currencies: dict[str, str]
    kind: ReportKind = ReportKind.BOTH
    milestone: str | None = None
    work_packages: dict[int, tuple[str, ...]] | None = None
    began_at: datetime | None = None
    ends_at: datetime | None = None


def report_faults(report: Report, against: Against) -> list[ProposalFault]:
    """What makes a report contradict its initiative; such a one isn't taken."""
    costs = (fault for i, line in enumerate(report.costs) for fault in _cost_faults(i, line, against))
    return [
        *_kind_faults(report, against),
        *costs,
        *oversized("costs", (line.amount for line in report.costs)),
        *_work_faults(report, against.work_packages),
    ]


def _kind_faults(report: Report, against: Against) -> Iterator[ProposalFault]:
    if against.kind.tells_progress and not report.narrative:
        yield ProposalFault("narrative", "kind", "how the work went is to be told in this report")
    if report.costs and not against.kind.has_accounts:
        problem = "this report has no accounts; the costs come with the next one that has"
        yield ProposalFault("costs", "kind", problem)
    if report.reached_on is not None and against.milestone is None:
        yield ProposalFault("reached_on", "kind", "this report is not on a milestone")


def _cost_faults(index: int, line: CostLine, against: Against) -> Iterator[ProposalFault]:
    place, side = f"costs[{index}]", against.summary.partners.get(line.partner)
    if side is None:
        yield ProposalFault(f"{place}.partner", "reference", f"no partner {line.partner!r}")
        return
    currency = against.currencies[side]
    if line.amount.unit not in (currency, COMPUTE_UNIT):
        problem = f"costs on the side of {side!r} are in {currency}"
        yield ProposalFault(f"{place}.amount", "currency", problem)
    yield from category_faults(place, line.category, line.amount)
    # A day is the partner's own; by UTC it may begin or end half a day earlier or later.
    day, margin = line.incurred_on, timedelta(days=1)
    if day is not None and against.began_at is not None and day < (against.began_at - margin).date():
        yield ProposalFault(f"{place}.incurred_on", "period", "before the initiative began")
    if day is not None and against.ends_at is not None and day > (against.ends_at + margin).date():
        yield ProposalFault(f"{place}.incurred_on", "period", "after the end of the period")


def _work_faults(report: Report, work: Mapping[int, tuple[str, ...]] | None) -> Iterator[ProposalFault]:
    seen: set[int] = set()
    for index, one in enumerate(report.progress):
        place = f"progress[{index}]"
        if one.work_package in seen:
            yield ProposalFault(f"{place}.work_package", "unique", "it stands there twice")
        seen.add(one.work_package)
        if work is not None and one.work_package not in work:
            yield ProposalFault(f"{place}.work_package", "reference", f"no work package {one.work_package}")
        elif work is not None:
            for number, delivered in enumerate(one.delivered):
                if delivered not in work[one.work_package]:
                    problem = "no such deliverable in that work package"
                    yield ProposalFault(f"{place}.delivered[{number}]", "reference", problem)
    for index, output in enumerate(report.outputs):
        if work is not None and output.work_package is not None and output.work_package not in work:
            problem = f"no work package {output.work_package}"
            yield ProposalFault(f"outputs[{index}].work_package", "reference", problem)


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


def financial_statement(report: Report) -> dict[str, dict[str, tuple[Amount, ...]]]:
    """What each partner claims, by budget category, one amount a unit."""
    return {
        partner: {
            category: _total(
                line for line in report.costs if (line.partner, line.category) == (partner, category)
            )
            for category in dict.fromkeys(one.category for one in report.costs if one.partner == partner)
        }
        for partner in dict.fromkeys(line.partner for line in report.costs)
    }
