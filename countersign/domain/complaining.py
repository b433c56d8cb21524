"""Complaints: an applicant asks all sides to look at a refusal, or a termination, again (DESIGN section 2).

One comes within :data:`COMPLAINT_DAYS`, and once. Until then, and as long as it is before the sides, the funds stay
reserved: an upheld one must not find them spent. It reopens the decision on what was refused. What was terminated is
reinstated, that is suspended, with its reports and its money as they were, and all sides are asked whether it goes on.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from countersign.domain.agreement import MatterKind
from countersign.domain.canonical import content_hash
from countersign.domain.commands import Complain, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import (
    ComplaintLodged,
    ComplaintWindowOpened,
    Happened,
    Reinstated,
    ReportScheduled,
)
from countersign.domain.ground_rules import by_applicant, in_stage, said
from countersign.domain.initiative import InitiativeState
from countersign.domain.lateness import enter_suspended
from countersign.domain.matter import Matter, Outcome
from countersign.domain.papers import complaint_document
from countersign.domain.payment_facts import CommitmentsReleased
from countersign.domain.reporting import ReportDue, ReportState, Uncut
from countersign.domain.reports import scheduled
from countersign.domain.stage import COMPLAINABLE, COMPLAINT_DAYS, Stage
from countersign.domain.steps import Deadlines, opened, released_by_report, void_open

UPHELD: Final = "a complaint was upheld"
"""Why an initiative is where a complaint led it."""


def complain(
    state: InitiativeState, command: Complain, now: datetime, deadlines: Deadlines | None
) -> list[Happened]:
    """Somebody who takes part complains; it is put before every side."""
    by_applicant(state, command.caller)
    if until(state) is None:
        in_stage(state, *COMPLAINABLE)
    if is_over(state, now) or deadlines is None:
        raise RuleBroken("stage_closed", f"a complaint comes within {COMPLAINT_DAYS} days, and once")
    if state.open_matter(MatterKind.COMPLAINT):
        raise RuleBroken("out_of_order", "a complaint is before the directorates already")
    lodged = ComplaintLodged(reasons=command.reasons, fingerprint=fingerprint(command))
    content = content_hash(complaint_document(state, command.reasons))
    number = len(state.matters) + 1
    return [
        said(command, lodged, subject=state.content_hash),
        opened(state, MatterKind.COMPLAINT, "complaint", content, deadlines, number),
    ]


def complaint(state: InitiativeState) -> Matter | None:
    """The complaint about the refusal, or the termination, at which it stands."""
    if until(state) is None:
        return None
    if state.stage is Stage.TERMINATED:
        return state.matter(state.complaint or 0)
    found = state.last_matter(MatterKind.COMPLAINT)
    if found is None or state.stage_since is None or found.opened_at < state.stage_since:
        return None
    return found


def until(state: InitiativeState) -> datetime | None:
    """Until when a complaint about where it stands may come; none where there is nothing to complain of."""
    if state.stage is Stage.TERMINATED:
        return state.complain_until
    if state.stage not in COMPLAINABLE or state.stage_since is None:
        return None
    return state.stage_since + timedelta(days=COMPLAINT_DAYS)


def is_over(state: InitiativeState, now: datetime) -> bool:
    """Whether it stays where it stands: the time for a complaint is over, or one was dismissed."""
    lodged, last = complaint(state), until(state)
    if lodged is None:
        return last is None or now >= last
    return not lodged.is_open and lodged.outcome is not Outcome.APPROVED


def is_upheld(state: InitiativeState) -> bool:
    """Whether all sides have upheld the complaint about where it stands, and that has not taken effect yet."""
    lodged = complaint(state)
    return lodged is not None and lodged.outcome is Outcome.APPROVED


# ---- the steps of the workflow


def release_promised(state: InitiativeState, now: datetime) -> list[Happened]:
    """A refusal is final: nothing stays reserved for a complaint any more."""
    if not state.reserved or state.stage not in COMPLAINABLE or not is_over(state, now):
        return []
    return [Happened(CommitmentsReleased())]


def open_window(state: InitiativeState, now: datetime) -> list[Happened]:
    """From its beginning on a termination may be complained of for so many days.

    Where money was claimed back already, or it is not known any more what the last report was before it was cut short,
    the winding up began when a termination was final: it goes on so.
    """
    ended_at = state.stage_since
    if state.stage is not Stage.TERMINATED or not state.winding_up or ended_at is None:
        return []
    is_claimed = any(one.is_recovery for one in state.tranches)
    if state.complain_until is not None or is_claimed or any(map(_is_cut_for_good, state.reports)):
        return []
    last = ended_at + timedelta(days=COMPLAINT_DAYS)
    return [Happened(ComplaintWindowOpened(until=last))] if now < last else []


def _is_cut_for_good(report: ReportDue) -> bool:
    return report.cut_short and report.uncut is None


def reinstate(state: InitiativeState, now: datetime) -> list[Happened]:
    """A complaint about a termination was upheld: it is suspended until all sides resume it."""
    lodged = complaint(state)
    if state.stage is not Stage.TERMINATED or lodged is None or not is_upheld(state):
        return []
    again = _schedule(state.reports)
    fact = Reinstated(complaint=lodged.number, reports=again.reports, covered=again.covered)
    return [
        *void_open(state, UPHELD),
        enter_suspended(state, now, UPHELD),
        Happened(fact, subject=lodged.content_hash),
        *(due for number in again.accepted for due in released_by_report(state, number)),
    ]


class _Again(NamedTuple):
    """The reports once a termination is undone; ``accepted`` releases what it would have, had nothing been ended."""

    reports: tuple[ReportScheduled, ...]
    covered: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()


def _schedule(reports: tuple[ReportDue, ...]) -> _Again:
    """The schedule as it was before a report was cut short; one that was accepted meanwhile keeps the end it had then.

    The next one begins there. One whose whole period is in the accepted one is done without; where the accepted one was
    the last, another one comes for the rest of the duration. One that was to be on a milestone has told of it.
    """
    cut = next((one for one in reports if one.cut_short), None)
    if cut is None or cut.uncut is None:
        return _Again(tuple(scheduled(one) for one in reports))
    if cut.state is not ReportState.ACCEPTED:
        before = cut.uncut.model_dump()
        return _Again(tuple(scheduled(one, **before) if one is cut else scheduled(one) for one in reports))
    earlier, later = reports[: cut.number - 1], reports[cut.number :]
    last = later[-1].ends_at if later else cut.uncut.ends_at
    known_until = since = cut.ends_at
    began = min(cut.starts_at, known_until)  # an earlier one may have been waived before its period was over
    kept = {"starts_at": began, "final": known_until >= last, "milestone": cut.uncut.milestone}
    again = [*map(scheduled, earlier), scheduled(cut, **kept)]
    covered: list[int] = []
    for one in later:
        if one.ends_at <= known_until:
            covered.append(one.number)
            ends_at = since if one.milestone is None else one.ends_at
            again.append(scheduled(one, starts_at=min(since, ends_at), ends_at=ends_at, final=False))
            continue
        again.append(scheduled(one, starts_at=since))
        since = since if one.milestone is not None else one.ends_at
    if not later and known_until < last:
        again.append(_rest(cut, cut.uncut))
    return _Again(tuple(again), tuple(covered), (cut.number, *covered))


def _rest(cut: ReportDue, before: Uncut) -> ReportScheduled:
    """The report on what is left of the duration after the last one, which was cut short."""
    return ReportScheduled(
        number=cut.number + 1,
        starts_at=cut.ends_at,
        ends_at=before.ends_at,
        due_at=before.due_at,
        final=True,
    )
