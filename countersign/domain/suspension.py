"""Stopping an initiative and letting it go on: suspension, resumption, termination, each with its notice.

What was let go before a suspension goes on: a bank that was told cannot be untold. Nothing else is let go until all
sides agree to resume.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from countersign.domain import ending
from countersign.domain.agreement import MatterKind
from countersign.domain.canonical import content_hash
from countersign.domain.commands import AskResumption, Suspend, TakeBackNotice, Terminate, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import (
    Happened,
    ResumptionAsked,
    StageEntered,
    SuspensionAnnounced,
    SuspensionWithdrawn,
    Terminated,
    TerminationAnnounced,
    TerminationWithdrawn,
)
from countersign.domain.ground_rules import by_applicant, head_of, in_stage, is_closed_by_all, said
from countersign.domain.initiative import InitiativeState
from countersign.domain.lateness import enter_suspended
from countersign.domain.matter import Matter, Outcome
from countersign.domain.notice import Notice, NoticeKind
from countersign.domain.papers import resumption_document
from countersign.domain.stage import OWED, Stage
from countersign.domain.steps import NEXT, Deadlines, opened


def receive(
    state: InitiativeState,
    command: Suspend | Terminate | TakeBackNotice | AskResumption,
    now: datetime,
    deadlines: Deadlines | None,
) -> list[Happened]:
    """The facts that a message on stopping or going on brings about.

    Raises:
        RuleBroken: it does not count.
    """
    match command:
        case Suspend():
            return suspend(state, command, now)
        case Terminate():
            return terminate(state, command, now)
        case TakeBackNotice():
            return take_back(state, command, now)
        case AskResumption():
            return ask_resumption(state, command, deadlines)


def suspend(state: InitiativeState, command: Suspend, now: datetime) -> list[Happened]:
    """A side suspends the initiative for all of them, by the office that speaks for it."""
    side = head_of(state, command.caller)
    in_stage(state, Stage.ACTIVE)
    effective_at = _effective_at(state, NoticeKind.SUSPENSION, side, command, now)
    fact = SuspensionAnnounced(
        directorate=side,
        effective_at=effective_at,
        reasons=command.reasons,
        fingerprint=fingerprint(command),
    )
    happened = [said(command, fact, subject=state.content_hash)]
    if effective_at <= now:
        happened.append(enter_suspended(state, now, f"{side}: {command.reasons}"))
    return happened


def terminate(state: InitiativeState, command: Terminate, now: datetime) -> list[Happened]:
    """A side ends the initiative for all of them, by the office that speaks for it."""
    side = head_of(state, command.caller)
    in_stage(state, *OWED)
    if is_closed_by_all(state):
        raise RuleBroken("stage_closed", "the closure is signed already")
    effective_at = _effective_at(state, NoticeKind.TERMINATION, side, command, now)
    common = {"directorate": side, "reasons": command.reasons, "fingerprint": fingerprint(command)}
    if effective_at > now:
        announced = TerminationAnnounced(effective_at=effective_at, **common)
        return [said(command, announced, subject=state.content_hash)]
    fact = Terminated(**common)
    reason = f"{side}: {command.reasons}"
    return [said(command, fact, subject=state.content_hash), *ending.terminated(state, reason)]


def take_back(state: InitiativeState, command: TakeBackNotice, now: datetime) -> list[Happened]:
    """A side takes back what it announced, as long as it has not taken effect."""
    side = head_of(state, command.caller)
    announced = _announced(state, command.notice, side)
    if announced is None or announced.effective_at <= now:
        raise RuleBroken("out_of_order", f"{side!r} has announced no {command.notice} that is still to come")
    kind = SuspensionWithdrawn if command.notice is NoticeKind.SUSPENSION else TerminationWithdrawn
    return [said(command, kind(directorate=side, fingerprint=fingerprint(command)))]


def ask_resumption(
    state: InitiativeState, command: AskResumption, deadlines: Deadlines | None
) -> list[Happened]:
    """A side, by the office that speaks for it, or the applicants ask all sides to resume."""
    side = command.caller.directorate
    if side is None:
        by_applicant(state, command.caller)
    else:
        head_of(state, command.caller)
    in_stage(state, Stage.SUSPENDED)
    if state.open_matter(MatterKind.RESUMPTION) or answer(state) or deadlines is None:
        raise RuleBroken("out_of_order", "the resumption is before the directorates already")
    fact = ResumptionAsked(directorate=side, reasons=command.reasons, fingerprint=fingerprint(command))
    return [
        said(command, fact, subject=state.content_hash),
        _put_before_all(state, deadlines, command.reasons),
    ]


def _effective_at(
    state: InitiativeState, kind: NoticeKind, side: str, command: Suspend | Terminate, now: datetime
) -> datetime:
    """When what a side announces takes effect.

    Raises:
        RuleBroken: ``out_of_order`` when it announced the same already, ``invalid`` when that is too soon.
    """
    if _announced(state, kind, side) is not None:
        raise RuleBroken("out_of_order", f"{side!r} has announced a {kind} already; it may take it back")
    terms = state.terms.suspension if kind is NoticeKind.SUSPENSION else state.terms.termination
    days = terms.notice_days if command.notice_days is None else command.notice_days
    if days < terms.notice_days:
        raise RuleBroken("invalid", f"a {kind} is announced at least {terms.notice_days} days ahead")
    return now + timedelta(days=days)


def _announced(state: InitiativeState, kind: NoticeKind, side: str) -> Notice | None:
    return next((one for one in state.notices if (one.kind, one.directorate) == (kind, side)), None)


# ---- what time brings about


def coming(state: InitiativeState) -> Iterator[datetime]:
    """The instants at which what was announced takes effect, and at which a suspension has lasted too long."""
    yield from (one.effective_at for one in _in_force(state))
    if _limit(state) is not None and state.stage_deadline is not None:
        yield state.stage_deadline


def passed(state: InitiativeState, now: datetime) -> list[Happened]:
    """What takes effect by ``now``: one thing, the first of it; a termination before a suspension of that instant."""
    due = [one for one in _in_force(state) if now >= one.effective_at]
    if due:
        first = min(due, key=lambda one: (one.effective_at, one.kind is NoticeKind.SUSPENSION))
        if first.kind is NoticeKind.TERMINATION:
            return ending.terminated(state, first.reason)
        return [enter_suspended(state, now, first.reason)]
    reason = _limit(state)
    if reason is not None and state.stage_deadline is not None and now >= state.stage_deadline:
        return ending.terminated(state, reason)
    return []


def _in_force(state: InitiativeState) -> list[Notice]:
    """What was announced and can take effect: only what is active is suspended, what all have closed does not end."""
    if is_closed_by_all(state):
        return []
    return [one for one in state.notices if one.kind is NoticeKind.TERMINATION or state.stage is Stage.ACTIVE]


def _limit(state: InitiativeState) -> str | None:
    """Why a suspension that has lasted too long ends it; none while the sides are asked whether it is resumed."""
    if state.stage is not Stage.SUSPENDED or state.open_matter(MatterKind.RESUMPTION) or answer(state):
        return None
    return f"it was suspended for {state.terms.suspension.limit_days} days"


# ---- the steps of the workflow


def answer(state: InitiativeState) -> Matter | None:
    """The resumption that all sides have agreed to, or one has refused, and that has not taken effect yet."""
    asked = state.last_matter(MatterKind.RESUMPTION)
    if (
        state.stage is not Stage.SUSPENDED
        or asked is None
        or asked.outcome not in NEXT[MatterKind.RESUMPTION]
    ):
        return None
    return asked if state.stage_since is not None and asked.opened_at >= state.stage_since else None


def asks_itself(state: InitiativeState) -> bool:
    """Whether all sides are to be asked by itself: the late report was accepted, or a termination undone."""
    is_asked = state.open_matter(MatterKind.RESUMPTION) or answer(state)
    return state.stage is Stage.SUSPENDED and state.to_resume and not is_asked


def ask_itself(state: InitiativeState, deadlines: Deadlines) -> list[Happened]:
    """Put before every side whether it is resumed, as nobody else has to ask for it."""
    return [_put_before_all(state, deadlines, None)] if asks_itself(state) else []


def answered(state: InitiativeState) -> list[Happened]:
    """All sides agree, and it goes on; or one refuses, and it ends here."""
    asked = answer(state)
    if asked is None:
        return []
    if asked.outcome is Outcome.APPROVED:
        reason = "all sides agreed to resume"
        return [Happened(StageEntered(stage=Stage.ACTIVE, before=state.stage, reason=reason))]
    return ending.terminated(state, asked.why or "the resumption was refused")


def _put_before_all(state: InitiativeState, deadlines: Deadlines, reasons: str | None) -> Happened:
    content = content_hash(resumption_document(state, reasons))
    number = len(state.matters) + 1
    return opened(state, MatterKind.RESUMPTION, "resumption", content, deadlines, number)
