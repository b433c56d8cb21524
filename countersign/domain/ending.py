"""Ending before the end, and giving back: termination, costs that turn out ineligible, claims that are given up."""

from __future__ import annotations

from countersign.domain import funding
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.commands import DisallowCosts, Terminate, WriteOff, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import (
    CommitmentsReleased,
    CostsDisallowed,
    Happened,
    MatterVoided,
    StageEntered,
    Terminated,
    TrancheClaimed,
    TrancheWrittenOff,
)
from countersign.domain.ground_rules import in_stage, said, without_part
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Caller
from countersign.domain.papers import accepted_of_partner
from countersign.domain.recovery import document, tranche
from countersign.domain.stage import OWED, Stage
from countersign.domain.steps import released, void_open


def receive(state: InitiativeState, command: Terminate | DisallowCosts | WriteOff) -> list[Happened]:
    """The facts that a message on ending brings about.

    Raises:
        RuleBroken: it does not count.
    """
    match command:
        case Terminate():
            return terminate(state, command)
        case DisallowCosts():
            return disallow(state, command)
        case WriteOff():
            return write_off(state, command)


def terminate(state: InitiativeState, command: Terminate) -> list[Happened]:
    """A side ends the initiative for all of them, by the office that speaks for it."""
    side = _head(state, command.caller)
    in_stage(state, *OWED)
    closure = state.last_matter(MatterKind.CLOSURE)
    if state.stage is Stage.CLOSING and closure is not None and closure.decision is not None:
        raise RuleBroken("stage_closed", "the closure is signed already")
    fact = Terminated(directorate=side, reasons=command.reasons, fingerprint=fingerprint(command))
    reason = f"{side}: {command.reasons}"
    return [said(command, fact, subject=state.content_hash), *terminated(state, reason)]


def terminated(state: InitiativeState, reason: str) -> list[Happened]:
    """It ends here: nothing more is decided or let go. What was committed stays so until it is wound up."""
    entered = StageEntered(stage=Stage.TERMINATED, before=state.stage, reason=reason, keeps_money=True)
    return [*void_open(state, "the initiative was terminated"), Happened(entered)]


def disallow(state: InitiativeState, command: DisallowCosts) -> list[Happened]:
    """Costs of an accepted report turn out ineligible: the side that certified them takes that back.

    What was paid for them is then unspent, and claimed back with the rest at the end. A closure that is before the
    sides rests on other figures: it is put anew.
    """
    side, caller = command.caller.directorate or "", command.caller
    chain = state.terms.chains[MatterKind.REPORT].get(side, ())
    if not {step.office for step in chain} & set(caller.offices):
        raise RuleBroken("not_your_office", "whoever certifies a side's costs takes that back")
    without_part(state, caller)
    if not (state.stage in OWED or state.winding_up):
        raise RuleBroken("stage_closed", f"the initiative is {state.stage}")
    closure = state.last_matter(MatterKind.CLOSURE)
    is_settled = closure is not None and closure.decision is not None and state.stage is Stage.CLOSING
    if is_settled or any(one.is_recovery for one in state.tranches):
        raise RuleBroken("stage_closed", "the accounts are settled: what is unspent is claimed already")
    if state.proposal.partners.get(command.partner) != side:
        raise RuleBroken("not_found", f"{side!r} has no partner {command.partner!r}")
    report = state.report(command.report)
    if report is None:
        raise RuleBroken("not_found", f"there is no report {command.report}")
    accepted = accepted_of_partner(state, command.partner, command.amount.unit, report.number)
    if command.amount.minor > accepted:
        raise RuleBroken(
            "invalid", f"{Amount(accepted, command.amount.unit)} of its costs are accepted there"
        )
    fact = CostsDisallowed(
        number=report.number,
        directorate=side,
        partner=command.partner,
        amount=command.amount,
        reasons=command.reasons,
        fingerprint=fingerprint(command),
    )
    happened = [said(command, fact, subject=report.content_hash)]
    if closure is not None and closure.is_open:
        voided = MatterVoided(matter=closure.number, reason="costs were disallowed")
        happened.append(Happened(voided, subject=closure.content_hash))
    return happened


def write_off(state: InitiativeState, command: WriteOff) -> list[Happened]:
    """A side gives up what it claims and does not get, by the office that speaks for it; never by who claimed it."""
    side = _head(state, command.caller)
    claimed = state.tranche(command.tranche)
    if claimed is None or not claimed.is_recovery or side not in claimed.shares:
        raise RuleBroken("not_found", f"{side!r} claims nothing back under that number")
    share = claimed.shares[side]
    if command.caller.person in share.ever_authorised:
        raise RuleBroken("four_eyes", "you, or somebody for you, made this claim; another holder gives it up")
    if share.state in funding.DONE:
        raise RuleBroken("out_of_order", f"the claim is {share.state}")
    if share.state is funding.PaymentState.AUTHORISED:
        raise RuleBroken("out_of_order", "the claim is going out at this moment")
    booked = tuple(one.amount for one in share.current if share.has_paid(one))
    open_ones = tuple(one.amount for one in share.current if one.outcome is None)
    fact = TrancheWrittenOff(
        number=claimed.number,
        directorate=side,
        recovered=booked,
        claimed=open_ones,
        reasons=command.reasons,
        fingerprint=fingerprint(command),
    )
    return [said(command, fact)]


def _head(state: InitiativeState, caller: Caller) -> str:
    """The side for which the caller speaks.

    Raises:
        RuleBroken: ``not_your_office`` or ``conflict_of_interest``.
    """
    side = caller.directorate or ""
    if side not in state.terms.sides or state.terms.sides[side].head not in caller.offices:
        raise RuleBroken("not_your_office", "the office that speaks for a side does this")
    without_part(state, caller)
    return side


# ---- the steps of the workflow


def is_under_way(state: InitiativeState) -> bool:
    """Whether something was let go that nobody has confirmed, or the bank returned, yet."""
    return bool(released(state)) or any(
        share.state is funding.PaymentState.INSTRUCTED
        for one in state.tranches
        if not one.is_recovery
        for share in one.shares.values()
    )


def claim_back(state: InitiativeState) -> list[Happened]:
    """What was paid and not spent is claimed back, once: after the closure was signed, or after a termination."""
    if state.stage not in (Stage.CLOSING, Stage.TERMINATED) or any(one.is_recovery for one in state.tranches):
        return []
    claimed = tranche(state)
    if claimed is None:
        return []
    return [Happened(TrancheClaimed(tranche=claimed), subject=content_hash(document(state, claimed)))]


def is_recovered(state: InitiativeState) -> bool:
    """Whether everything that is claimed back has come, or was given up."""
    return all(one.is_paid for one in state.tranches if one.is_recovery)


def wound_up(state: InitiativeState) -> list[Happened]:
    """After a termination nothing is left to do: what was committed and not paid is given back."""
    return [Happened(CommitmentsReleased())] if state.winding_up else []
