"""What happens when a message on a payment comes: one rule a message, four eyes in all of them (DESIGN section 5)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from countersign.domain import funding, mandate
from countersign.domain.agreement import FINANCE_OFFICE
from countersign.domain.commands import (
    AuthoriseTranche,
    ConfirmTranche,
    FinanceCommand,
    HoldTranche,
    MandatesGiven,
    ReportPayment,
    ResumeTranche,
    fingerprint,
)
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened
from countersign.domain.funding import BankOutcome, PaymentState, Share, Tranche
from countersign.domain.ground_rules import in_stage, said, without_part
from countersign.domain.initiative import InitiativeState
from countersign.domain.mandate import PAYMENT
from countersign.domain.payment_facts import (
    PaymentBooked,
    PaymentFailed,
    TrancheAuthorised,
    TrancheHeld,
    TranchePaid,
    TrancheRecovered,
    TrancheResumed,
    TrancheSettled,
)
from countersign.domain.recovery import within_what_was_paid
from countersign.domain.stage import Stage


def receive(
    state: InitiativeState,
    command: AuthoriseTranche | ConfirmTranche | HoldTranche | ResumeTranche | ReportPayment,
    now: datetime,
    mandates: MandatesGiven,
) -> list[Happened]:
    """The facts that a message on a payment brings about.

    Raises:
        RuleBroken: it does not count.
    """
    match command:
        case AuthoriseTranche():
            return authorise(state, command, now, mandates)
        case ConfirmTranche():
            return within_what_was_paid(state, confirm(state, command, now, mandates), now)
        case HoldTranche():
            return hold(state, command)
        case ResumeTranche():
            return resume(state, command)
        case ReportPayment():
            return within_what_was_paid(state, report_payment(state, command), now)


def authorise(
    state: InitiativeState, command: AuthoriseTranche, now: datetime, mandates: MandatesGiven
) -> list[Happened]:
    """A finance officer, or somebody on one's behalf, authorises a part that is due or failed."""
    share = _share(state, command, now, mandates)
    claimed = state.tranche(command.tranche)
    if not (state.winding_up and claimed is not None and claimed.is_recovery):
        in_stage(state, Stage.ACTIVE, Stage.CLOSING)
    funding.check_authorise(share)
    authorised = TrancheAuthorised(
        number=command.tranche, directorate=command.directorate, fingerprint=fingerprint(command)
    )
    return [said(command, authorised, on_behalf_of=command.on_behalf_of)]


def confirm(
    state: InitiativeState, command: ConfirmTranche, now: datetime, mandates: MandatesGiven
) -> list[Happened]:
    """Another finance officer, or somebody on one's behalf, confirms that it was paid, or has come back."""
    share = _share(state, command, now, mandates)
    funding.check_confirm(share, _people(command))
    tranche = state.tranche(command.tranche)
    kind = TrancheRecovered if tranche is not None and tranche.is_recovery else TranchePaid
    moved = kind(
        number=command.tranche,
        directorate=command.directorate,
        amounts=share.amounts,
        fingerprint=fingerprint(command),
    )
    happened = [said(command, moved, on_behalf_of=command.on_behalf_of)]
    return [*happened, _settled(command)] if share.is_booked else happened


def report_payment(state: InitiativeState, command: ReportPayment) -> list[Happened]:
    """A finance officer who authorised nothing of it brings the bank's word on one payment."""
    tranche = state.tranche(command.tranche)
    share = funding.check_finance(tranche, command.directorate, command.caller, state.barred)
    if state.is_over:
        raise RuleBroken("stage_closed", f"the initiative is {state.stage}")
    told = funding.check_report(share, command.caller, command.end_to_end_id, command.outcome, command.amount)
    fields: dict[str, Any] = {
        "number": command.tranche,
        "directorate": command.directorate,
        "end_to_end_id": told.end_to_end_id,
        "amount": told.amount,
        "statement": command.statement,
        "on": command.on,
        "bank_reference": command.bank_reference,
        "fingerprint": fingerprint(command),
    }
    if command.outcome is BankOutcome.RETURNED:
        return [said(command, PaymentFailed(**fields, reason=command.reason))]
    booked = said(command, PaymentBooked(**fields))
    others = [one for one in share.current if one.is_money and one is not told]
    all_booked = all(one.outcome is BankOutcome.BOOKED for one in others)
    is_last = share.state in (PaymentState.PAID, PaymentState.RECOVERED) and all_booked
    return [booked, _settled(command)] if is_last else [booked]


def hold(state: InitiativeState, command: HoldTranche) -> list[Happened]:
    """A finance officer, or the head of the side, stops the side's part before its bank is told."""
    tranche, share = _stoppable(state, command)
    funding.check_hold(tranche, share)
    return [said(command, TrancheHeld(**_stopping(command)))]


def resume(state: InitiativeState, command: ResumeTranche) -> list[Happened]:
    """A finance officer, or the head of the side, lets a held part go on."""
    _, share = _stoppable(state, command)
    funding.check_resume(share)
    return [said(command, TrancheResumed(**_stopping(command)))]


def _stoppable(state: InitiativeState, command: HoldTranche | ResumeTranche) -> tuple[Tranche, Share]:
    """The part that whoever answers for their side's money may stop, and let go on."""
    side, caller = command.directorate, command.caller
    own = state.terms.sides.get(side)
    if own is None or caller.directorate != side or not {FINANCE_OFFICE, own.head} & set(caller.offices):
        raise RuleBroken(
            "not_your_office", f"payments of {side!r} are held by its finance officers, or its head"
        )
    without_part(state, caller)
    tranche = state.tranche(command.tranche)
    if tranche is None or side not in tranche.shares:
        raise RuleBroken("not_found", "that directorate has no part in such a tranche")
    in_stage(state, Stage.ACTIVE, Stage.CLOSING)
    return tranche, tranche.shares[side]


def _stopping(command: HoldTranche | ResumeTranche) -> dict[str, Any]:
    return {
        "number": command.tranche,
        "directorate": command.directorate,
        "reasons": command.reasons,
        "fingerprint": fingerprint(command),
    }


def _share(state: InitiativeState, command: FinanceCommand, now: datetime, mandates: MandatesGiven) -> Share:
    """The share that the caller may act on, by their own office or under a mandate that covers it."""
    tranche, side, caller = state.tranche(command.tranche), command.directorate, command.caller
    lent = None
    if command.on_behalf_of is not None and caller.directorate == side:
        share = tranche.shares.get(side) if tranche is not None else None
        lent = mandate.usable(
            mandates.mandates,
            delegator=command.on_behalf_of,
            delegate=caller.person,
            directorate=side,
            kind=PAYMENT,
            requested=share.amounts if share is not None else (),
            now=now,
        )
    return funding.check_finance(tranche, side, caller, state.barred, lent)


def _people(command: FinanceCommand) -> frozenset[str | None]:
    """Whose act it is: the caller's, and that of whoever they act for."""
    return frozenset({command.caller.person, command.on_behalf_of})


def _settled(command: ConfirmTranche | ReportPayment) -> Happened:
    """The officers and the bank say the same of one side's part, whoever of them said it last."""
    return Happened(TrancheSettled(number=command.tranche, directorate=command.directorate))
