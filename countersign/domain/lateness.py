"""Reports that do not come: reminders, the day that is over, every side told, and suspension (DESIGN section 6).

Only the first report that is not accepted is waited for. Everything follows from the state as it is: a due date that
moved has moved all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from countersign.domain.agreement import MatterKind
from countersign.domain.fact import Fact
from countersign.domain.facts import (
    Happened,
    ReportEscalated,
    ReportFellOverdue,
    ReportReminded,
    StageEntered,
)
from countersign.domain.initiative import InitiativeState
from countersign.domain.reporting import ReportDue
from countersign.domain.stage import Stage


def late_report(state: InitiativeState) -> ReportDue | None:
    """The report that the applicants are waited for, whether or not it is due yet; none while one is under review."""
    report = state.next_report()
    if state.stage not in (Stage.ACTIVE, Stage.SUSPENDED) or report is None or not report.is_open:
        return None
    return report


def late_from(state: InitiativeState, report: ReportDue) -> datetime:
    """From when on a report's lateness counts: the due date, if it could come then.

    A returned one is late from its return on, so that nobody answers for the time that the review took; so is one that
    was late already when the initiative was resumed.
    """
    return max(report.due_at, _waited_for_since(state))


def suspends_at(state: InitiativeState) -> datetime | None:
    """When the report that is waited for is so late that the initiative is suspended."""
    report = late_report(state)
    if report is None or state.stage is not Stage.ACTIVE:
        return None
    return late_from(state, report) + timedelta(days=state.terms.reporting.overdue_limit_days)


def coming(state: InitiativeState) -> Iterator[datetime]:
    """The instants at which something is next told of a late report, or done about it."""
    report = late_report(state)
    if report is None:
        return
    reminders = [at for at, days in _reminders(state, report) if _is_new(report, days)]
    yield from reminders[:1]
    if not report.is_late:
        yield late_from(state, report)
    escalates = _escalates_at(state, report)
    if escalates is not None:
        yield escalates
    suspends = suspends_at(state)
    if suspends is not None:
        yield suspends


def passed(state: InitiativeState, now: datetime) -> Iterator[Happened]:
    """What is to be told of a late report by ``now`` and is not on record yet; of several reminders the last."""
    report = late_report(state)
    if report is None:
        return
    facts: list[Fact] = []
    if not report.is_late and now >= late_from(state, report):
        facts.append(ReportFellOverdue(number=report.number))
    reminders = [days for at, days in _reminders(state, report) if now >= at]
    if reminders and _is_new(report, reminders[-1]):
        facts.append(ReportReminded(number=report.number, days=reminders[-1]))
    escalates = _escalates_at(state, report)
    if escalates is not None and now >= escalates:
        facts.append(ReportEscalated(number=report.number))
    yield from (Happened(one, subject=report.content_hash) for one in facts)


def suspended(state: InitiativeState, now: datetime) -> list[Happened]:
    """The report that is waited for is later than the limit: money does not go on flowing into silence."""
    at, report = suspends_at(state), late_report(state)
    if at is None or report is None or now < at:
        return []
    days = state.terms.reporting.overdue_limit_days
    reason = f"report {report.number} is more than {days} days late"
    return [enter_suspended(state, now, reason, report.number)]


def enter_suspended(
    state: InitiativeState, now: datetime, reason: str, report: int | None = None
) -> Happened:
    """From now on nothing is let go; until the agreement's limit, if it has one."""
    days = state.terms.suspension.limit_days
    deadline = now + timedelta(days=days) if days is not None else None
    return Happened(
        StageEntered(
            stage=Stage.SUSPENDED, before=state.stage, reason=reason, deadline=deadline, report=report
        )
    )


def _waited_for_since(state: InitiativeState) -> datetime:
    """Since when the applicants could have handed in the report: the last decision on one, or the stage."""
    decided = [one.closed_at for one in state.matters if one.kind is MatterKind.REPORT and one.closed_at]
    since = [*decided, *([state.stage_since] if state.stage_since else [])]
    return max(since)


def _reminders(state: InitiativeState, report: ReportDue) -> list[tuple[datetime, int]]:
    """When the applicants are reminded, and how many days after the day it is due that is, in order."""
    terms, since = state.terms.reporting, _waited_for_since(state)
    before = [
        (report.due_at - timedelta(days=days), -days)
        for days in sorted(terms.reminders_before_days or (), reverse=True)
    ]
    late = late_from(state, report)
    after = [(late + timedelta(days=days), days) for days in sorted(terms.reminders_after_days or ())]
    return [*(one for one in before if one[0] > since), *after]


def _is_new(report: ReportDue, days: int) -> bool:
    return report.reminded is None or days > report.reminded


def _escalates_at(state: InitiativeState, report: ReportDue) -> datetime | None:
    days = state.terms.reporting.escalation_after_days
    if days is None or report.escalated:
        return None
    return late_from(state, report) + timedelta(days=days)
