"""Giving back: the accounts of what was terminated, costs that turn out ineligible, claims that are given up."""

from __future__ import annotations

from datetime import datetime

from countersign.domain import complaining, funding
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.commands import DisallowCosts, WriteOff, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import CostsDisallowed, Happened, MatterVoided, ReportCutShort, StageEntered
from countersign.domain.ground_rules import certifier_of, head_of, is_closed_by_all, said
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Outcome
from countersign.domain.papers import accepted_of_partner
from countersign.domain.payment_facts import CommitmentsReleased, TrancheClaimed, TrancheWrittenOff
from countersign.domain.recovery import document, tranche, unspent
from countersign.domain.reporting import FINISHED, ReportDue, ReportState
from countersign.domain.stage import OWED, Stage
from countersign.domain.steps import released, void_open


def receive(state: InitiativeState, command: DisallowCosts | WriteOff) -> list[Happened]:
    """The facts that a message on giving back brings about.

    Raises:
        RuleBroken: it does not count.
    """
    match command:
        case DisallowCosts():
            return disallow(state, command)
        case WriteOff():
            return write_off(state, command)


def terminated(state: InitiativeState, reason: str) -> list[Happened]:
    """It ends here: nothing more is decided or let go. What was committed stays so until it is wound up."""
    entered = StageEntered(stage=Stage.TERMINATED, before=state.stage, reason=reason, keeps_money=True)
    return [*void_open(state, "the initiative was terminated"), Happened(entered)]


def disallow(state: InitiativeState, command: DisallowCosts) -> list[Happened]:
    """Costs of an accepted report turn out ineligible: the side that certified them takes that back.

    What was paid for them is then unspent, and claimed back with the rest at the end. A closure that is before the
    sides rests on other figures: it is put anew.
    """
    side = certifier_of(state, command.caller, "takes that back")
    if not (state.stage in OWED or state.winding_up):
        raise RuleBroken("stage_closed", f"the initiative is {state.stage}")
    if is_closed_by_all(state) or any(one.is_recovery for one in state.tranches):
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
    closure = state.open_matter(MatterKind.CLOSURE)
    if closure is not None:
        voided = MatterVoided(matter=closure.number, reason="costs were disallowed")
        happened.append(Happened(voided, subject=closure.content_hash))
    return happened


def write_off(state: InitiativeState, command: WriteOff) -> list[Happened]:
    """A side gives up what it claims and does not get, by the office that speaks for it; never by who claimed it."""
    side = head_of(state, command.caller)
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


# ---- the steps of the workflow


def is_under_way(state: InitiativeState) -> bool:
    """Whether something was let go that nobody has confirmed, or the bank returned, yet."""
    return bool(released(state)) or any(
        share.state is funding.PaymentState.INSTRUCTED
        for one in state.tranches
        if not one.is_recovery
        for share in one.shares.values()
    )


def last_accounts(state: InitiativeState) -> ReportDue | None:
    """The report on everything up to the termination, once it was asked for."""
    return next((one for one in state.reports if one.cut_short), None)


def wants_accounts(state: InitiativeState) -> bool:
    """Whether the partners are still to be asked what they spent up to the termination of what they were paid."""
    if not state.winding_up or state.next_report() is None or last_accounts(state) is not None:
        return False
    return is_under_way(state) or any(unspent(state, side) for side in state.commitments)


def ask_accounts(state: InitiativeState, due_at: datetime) -> list[Happened]:
    """The report that is next is the last: on everything from the last accepted one up to the termination."""
    report, ended_at = state.next_report(), state.stage_since
    if not wants_accounts(state) or report is None or ended_at is None:
        return []
    ends_at = min(ended_at, state.reports[-1].ends_at)
    return [Happened(ReportCutShort(number=report.number, ends_at=ends_at, due_at=due_at))]


def accounts_until(state: InitiativeState) -> datetime | None:
    """Until when the last report may come; none while it is under review.

    One that is returned may come again within as much time as there was at first, counted from its return.
    """
    report, ended_at = last_accounts(state), state.stage_since
    if report is None or ended_at is None or report.state is ReportState.SUBMITTED:
        return None
    decided = state.last_matter(MatterKind.REPORT)
    if decided is None or decided.closed_at is None or decided.opened_at < ended_at:
        return report.due_at
    return max(report.due_at, decided.closed_at + (report.due_at - ended_at))


def awaits_accounts(state: InitiativeState, now: datetime) -> bool:
    """Whether the last report of a terminated initiative may still come, or is under review.

    It also may as long as nothing is claimed back for the sake of a complaint: a late one costs nobody any time then.
    """
    report = last_accounts(state)
    if not state.winding_up or report is None or report.state in FINISHED:
        return False
    decided, ended_at = state.last_matter(MatterKind.REPORT), state.stage_since
    # What was refused before the termination was another report, on less time.
    is_new = decided is not None and ended_at is not None and decided.opened_at >= ended_at
    is_refused = is_new and decided is not None and decided.outcome is Outcome.REFUSED
    if is_refused or any(one.is_recovery for one in state.tranches):
        return False
    until = accounts_until(state)
    return until is None or now < until or not complaining.is_over(state, now)


def waits(state: InitiativeState, now: datetime) -> bool:
    """Whether a terminated initiative waits for its last report or a complaint, or for what the sides decide on one."""
    return awaits_accounts(state, now) or not complaining.is_over(state, now)


def waits_until(state: InitiativeState, now: datetime) -> datetime | None:
    """The next instant at which such a wait is over by itself; none while only the sides can end it."""
    ends = [accounts_until(state)] if awaits_accounts(state, now) else []
    if complaining.complaint(state) is None:
        ends.append(complaining.until(state))
    return min((one for one in ends if one is not None and one > now), default=None)


def _is_unknown(state: InitiativeState, now: datetime) -> bool:
    """Whether what is unspent may still change, or even that it was terminated."""
    return is_under_way(state) or wants_accounts(state) or waits(state, now)


def claim_back(state: InitiativeState, now: datetime) -> list[Happened]:
    """What was paid and not spent is claimed back, once: after the closure was signed, or after a termination.

    What the partners spent up to a termination they may report first, and they may complain of it. While a payment that
    came back is paid again, what is unspent is not known yet.
    """
    if state.stage is Stage.CLOSING and _is_unsettled(state):
        return []
    if (
        _is_unknown(state, now)
        or state.stage not in (Stage.CLOSING, Stage.TERMINATED)
        or any(one.is_recovery for one in state.tranches)
    ):
        return []
    claimed = tranche(state)
    if claimed is None:
        return []
    return [Happened(TrancheClaimed(tranche=claimed), subject=content_hash(document(state, claimed)))]


def _is_unsettled(state: InitiativeState) -> bool:
    """Whether a part that was let go has not been paid, or not again since it came back."""
    return any(
        share.is_let_go and share.state not in funding.DONE
        for one in state.tranches
        if not one.is_recovery
        for share in one.shares.values()
    )


def is_recovered(state: InitiativeState) -> bool:
    """Whether everything that is claimed back has come, or was given up."""
    return all(one.is_paid for one in state.tranches if one.is_recovery)


def wound_up(state: InitiativeState, now: datetime) -> list[Happened]:
    """After a termination nothing is left to do: what was committed and not paid is given back."""
    is_done = is_recovered(state) and not claim_back(state, now)
    if not state.winding_up or not is_done or _is_unknown(state, now):
        return []
    return [Happened(CommitmentsReleased())]
