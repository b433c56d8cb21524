"""What the rules on messages have in common: in which stage, by whom, and the fact that answers a message."""

from __future__ import annotations

from countersign.domain.agreement import MatterKind
from countersign.domain.commands import (
    AnyCommand,
    Command,
    ExaminedAmendment,
    ExaminedProposal,
    ExaminedReport,
)
from countersign.domain.errors import RuleBroken
from countersign.domain.fact import Fact
from countersign.domain.facts import Happened
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Caller
from countersign.domain.stage import Stage


def said(
    command: AnyCommand | Command, fact: Fact, subject: str | None = None, on_behalf_of: str | None = None
) -> Happened:
    """The fact that answers a message, with who sent it."""
    return Happened(
        fact,
        actor=command.caller.person,
        subject=subject,
        message=command.id,
        on_behalf_of=on_behalf_of,
    )


def in_stage(state: InitiativeState, *stages: Stage) -> None:
    """Refuse what only some stages take.

    Raises:
        RuleBroken: ``stage_closed``.
    """
    if state.stage not in stages:
        raise RuleBroken("stage_closed", f"the initiative is {state.stage}")


def without_part(state: InitiativeState, caller: Caller) -> None:
    """Refuse whoever takes part in the initiative or has an interest in it.

    Raises:
        RuleBroken: ``conflict_of_interest``.
    """
    if caller.person in state.barred or (caller.contact is not None and caller.contact in state.barred):
        raise RuleBroken("conflict_of_interest", "you have a part in this initiative")


def by_applicant(state: InitiativeState, caller: Caller) -> None:
    """Refuse whoever does not take part in the initiative.

    Raises:
        RuleBroken: ``forbidden``.
    """
    people = state.summary.people if state.summary else ()
    known = caller.person == state.applicant.person or (
        caller.contact is not None and caller.contact in people
    )
    if caller.directorate is not None or not known:
        raise RuleBroken("forbidden", "only those who take part in the initiative do this")


def told(examined: ExaminedProposal | ExaminedReport | ExaminedAmendment | None) -> str:
    """Why a document can't be taken."""
    found = examined.faults if examined is not None else ()
    return "; ".join(found) or "there is no such document"


def head_of(state: InitiativeState, caller: Caller) -> str:
    """The side for which the caller speaks.

    Raises:
        RuleBroken: ``not_your_office`` or ``conflict_of_interest``.
    """
    side = caller.directorate or ""
    if side not in state.terms.sides or state.terms.sides[side].head not in caller.offices:
        raise RuleBroken("not_your_office", "the office that speaks for a side does this")
    without_part(state, caller)
    return side


def certifier_of(state: InitiativeState, caller: Caller, does: str) -> str:
    """The side whose costs the caller certifies, by an office of its chain for reports; ``does`` says what is refused.

    Raises:
        RuleBroken: ``not_your_office`` or ``conflict_of_interest``.
    """
    side = caller.directorate or ""
    chain = state.terms.chains[MatterKind.REPORT].get(side, ())
    if not {step.office for step in chain} & set(caller.offices):
        raise RuleBroken("not_your_office", f"whoever certifies a side's costs {does}")
    without_part(state, caller)
    return side


def is_closed_by_all(state: InitiativeState) -> bool:
    """Whether every side has signed the closure, and only what is unspent is still to come back."""
    closure = state.last_matter(MatterKind.CLOSURE)
    return state.stage is Stage.CLOSING and closure is not None and closure.decision is not None
