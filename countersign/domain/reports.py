"""How each fact changes the reports: which are due when, and where each of them stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from countersign.domain.audit import AuditEntry
from countersign.domain.fact import Fact
from countersign.domain.facts import (
    CostsDisallowed,
    Reinstated,
    ReportAccepted,
    ReportCutShort,
    ReportEscalated,
    ReportFellOverdue,
    ReportReminded,
    ReportReturned,
    ReportScheduled,
    ReportsScheduled,
    ReportSubmitted,
    ReportWaived,
    ReportWaiverGiven,
)
from countersign.domain.reporting import FINISHED, Disallowed, ReportDue, ReportState, Uncut
from countersign.domain.schedule import ReportKind

Reports = tuple[ReportDue, ...]

_UNTOLD: Final = {"reminded": None, "escalated": False}
"""A report that is waited for anew."""


def after(reports: Reports, fact: Fact, entry: AuditEntry) -> Reports | None:
    """The reports after a fact; none when it is not on them."""
    match fact:
        case ReportsScheduled(reports=schedule):
            return tuple(ReportDue(**one.model_dump()) for one in schedule)
        case ReportReminded() | ReportFellOverdue() | ReportEscalated() | ReportCutShort():
            return _one(reports, fact.number, lambda report: _late(report, fact))
        case ReportSubmitted(number=number, version=version, costs=costs, by_partner=by_partner):
            submitted = {
                "state": ReportState.SUBMITTED,
                "version": version,
                "content_hash": entry.subject,
                "costs": costs,
                "by_partner": by_partner,
                "waived_by": None,
            }
            return _one(reports, number, lambda _: submitted)
        case CostsDisallowed(number=number):
            taken = Disallowed(directorate=fact.directorate, partner=fact.partner, amount=fact.amount)
            return _one(reports, number, lambda report: {"disallowed": (*(report.disallowed or ()), taken)})
        case ReportAccepted(number=number):
            return _one(reports, number, lambda _: {"state": ReportState.ACCEPTED})
        case ReportWaiverGiven(number=number, directorate=side):
            return _one(reports, number, lambda report: {"waived_by": (*(report.waived_by or ()), side)})
        case ReportWaived(number=number):
            return _one(reports, number, lambda _: {"state": ReportState.WAIVED})
        case ReportReturned(number=number):
            returned = {"state": ReportState.CHANGES_REQUESTED, **_UNTOLD}
            return _one(reports, number, lambda _: returned)
        case Reinstated():
            return _reinstated(reports, fact)
        case _:
            return None


def untold(reports: Reports) -> Reports:
    """The reports after a suspension: of what is late still, everybody is told anew."""
    return tuple(one.model_copy(update=_UNTOLD) for one in reports)


def scheduled(report: ReportDue, /, **changes: object) -> ReportScheduled:
    """A report as a schedule has it, with some changes."""
    kept = report.model_dump(include=set(ReportScheduled.model_fields))
    return ReportScheduled.model_validate(kept | changes)


def rescheduled(reports: Reports, schedule: tuple[ReportScheduled, ...], at: datetime) -> Reports:
    """The reports by another schedule. One that falls due later now is not late any more, and nobody was told of it.

    A side that did without one did so for what that one was on: not for another that has its number now.
    """
    known = {one.number: one for one in reports}

    def moved(one: ReportScheduled) -> ReportDue:
        was = known.get(one.number)
        if was is None or was.milestone != one.milestone:
            return ReportDue(**one.model_dump())
        now = was.model_copy(update=dict(one))
        if was.is_open and _is_on(now) != _is_on(was):
            now = now.model_copy(update={"waived_by": None})
        if now.due_at != was.due_at and now.due_at > at:
            state = ReportState.SCHEDULED if was.state is ReportState.OVERDUE else was.state
            return now.model_copy(update={"state": state, "is_late": False, **_UNTOLD})
        return was if now == was else now

    return tuple(map(moved, schedule))


def _is_on(report: ReportDue) -> tuple[datetime, datetime, ReportKind]:
    return report.starts_at, report.ends_at, report.kind


def _reinstated(reports: Reports, fact: Reinstated) -> Reports:
    """The reports once a termination is undone; what was cut short is waited for anew, unless it was accepted."""
    known = {one.number: one for one in reports}

    def again(one: ReportScheduled) -> ReportDue:
        was = known.get(one.number)
        if was is None:
            return ReportDue(**one.model_dump())
        changes = dict(one)
        if was.cut_short:
            changes |= {"cut_short": False, "uncut": None}
            if was.state not in FINISHED:
                changes |= {"state": _waited_for(was), "is_late": False, **_UNTOLD}
        if one.number in fact.covered:
            changes["state"] = ReportState.WAIVED
        now = was.model_copy(update=changes)
        return was if now == was else now

    return tuple(map(again, fact.reports))


def _waited_for(report: ReportDue) -> ReportState:
    """The state of a report that is to come; another version of it, if there was one."""
    return ReportState.CHANGES_REQUESTED if report.version else ReportState.SCHEDULED


def _late(
    report: ReportDue, fact: ReportReminded | ReportFellOverdue | ReportEscalated | ReportCutShort
) -> dict[str, Any]:
    match fact:
        case ReportReminded(days=days):
            return {"reminded": days}
        case ReportEscalated():
            return {"escalated": True}
        case ReportFellOverdue():
            was = report.state
            return {"is_late": True, "state": ReportState.OVERDUE if was is ReportState.SCHEDULED else was}
        case ReportCutShort(ends_at=ends_at, due_at=due_at):
            # A version that was under review when it was terminated is not on all of the time: another one comes.
            uncut = Uncut(**report.model_dump(include=set(Uncut.model_fields)))
            when = {"ends_at": ends_at, "due_at": due_at, "final": True, "cut_short": True, "uncut": uncut}
            # Whatever it was to tell, it is the last one: on the work, and on the money.
            when |= {"kind": ReportKind.BOTH, "milestone": None}
            return when | {"state": _waited_for(report), "is_late": False, **_UNTOLD}


def _one(reports: Reports, number: int, update: Callable[[ReportDue], dict[str, Any]]) -> Reports:
    return tuple(one.model_copy(update=update(one)) if one.number == number else one for one in reports)
