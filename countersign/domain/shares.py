"""How each fact changes the tranches: where every side's part of them stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.fact import Fact
from countersign.domain.funding import BankOutcome, Instruction, PaymentState, Share, Tranche
from countersign.domain.payment_facts import (
    PaymentBooked,
    PaymentFailed,
    TrancheAuthorised,
    TrancheClaimed,
    TrancheDiverged,
    TrancheFellDue,
    TrancheHeld,
    TrancheInstructed,
    TranchePaid,
    TrancheRecovered,
    TrancheReduced,
    TrancheResumed,
    TrancheSettled,
    TrancheWrittenOff,
)

Tranches = tuple[Tranche, ...]
Update = Callable[[Share], dict[str, Any]]
OfOneSide = (
    TrancheAuthorised
    | TrancheHeld
    | TrancheResumed
    | TranchePaid
    | TrancheRecovered
    | TrancheWrittenOff
    | PaymentBooked
    | PaymentFailed
    | TrancheSettled
)


def after(tranches: Tranches, fact: Fact, entry: AuditEntry) -> Tranches | None:
    """The tranches after a fact; none when it is not on them."""
    match fact:
        case TrancheFellDue(number=number):
            return _replaced(tranches, number, lambda _, share: _due(share))
        case TrancheReduced(number=number, directorate=side, amounts=amounts):
            return _reduced(tranches, number, side, amounts)
        case TrancheAuthorised():
            return _one(tranches, fact, lambda share: _authorised(share, entry))
        case TrancheInstructed(number=number, instructions=told):
            return _replaced(
                tranches,
                number,
                lambda side, share: _instructed(share, told[side]) if side in told else {},
            )
        case TranchePaid():
            paid = {"state": PaymentState.PAID, "confirmed_by": entry.actor, "paid_at": entry.instant}
            return _one(tranches, fact, lambda _: paid)
        case TrancheClaimed(tranche=claimed):
            return (*tranches, claimed)
        case TrancheRecovered():
            recovered = {"state": PaymentState.RECOVERED, "confirmed_by": entry.actor}
            return _one(tranches, fact, lambda _: recovered)
        case TrancheWrittenOff():
            return _one(tranches, fact, lambda _: {"state": PaymentState.WRITTEN_OFF})
        case PaymentBooked() | PaymentFailed():
            return _one(tranches, fact, lambda share: _reported(share, fact))
        case TrancheHeld(reasons=reasons):
            held = {"state": PaymentState.HELD, "held_by": entry.actor, "held_reasons": reasons}
            return _one(tranches, fact, lambda share: {**held, "held_from": share.state})
        case TrancheResumed():
            return _one(tranches, fact, _resumed)
        case TrancheDiverged(number=number):
            diverged = {"diverged_at": entry.instant}
            return tuple(one.model_copy(update=diverged) if one.number == number else one for one in tranches)
        case TrancheSettled():
            return _one(tranches, fact, lambda _: {"state": PaymentState.SETTLED})
        case _:
            return None


def _due(share: Share) -> dict[str, Any]:
    """A part that falls due while it is held is due once it goes on."""
    held = share.state is PaymentState.HELD
    return {"held_from": PaymentState.DUE} if held else {"state": PaymentState.DUE}


def _resumed(share: Share) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "state": share.unheld,
        "held_from": None,
        "held_by": None,
        "held_reasons": None,
    }
    if share.unheld is PaymentState.AUTHORISED:
        # Whoever let it go did so before they knew why it was held: it is authorised anew.
        changes |= {
            "state": PaymentState.DUE,
            "authorised_by": None,
            "authorised_for": None,
            "authorised_before": share.ever_authorised,
        }
    return changes


def _authorised(share: Share, entry: AuditEntry) -> dict[str, Any]:
    changes: dict[str, Any] = {
        "state": PaymentState.AUTHORISED,
        "authorised_by": entry.actor,
        "authorised_for": entry.on_behalf_of,
    }
    if share.authorised_by is not None:
        changes["authorised_before"] = share.ever_authorised
        changes["retrying"] = tuple(one.end_to_end_id for one in share.failed)
    return changes


def _instructed(share: Share, told: tuple[Instruction, ...]) -> dict[str, Any]:
    """What the bank was told is added. If another payment came back meanwhile, that one waits to be authorised."""
    instructions = (*share.instructions, *told)
    failed = share.model_copy(update={"instructions": instructions}).failed
    return {
        "state": PaymentState.FAILED if failed else PaymentState.INSTRUCTED,
        "instructions": instructions,
        "retrying": None,
    }


def _reported(share: Share, fact: PaymentBooked | PaymentFailed) -> dict[str, Any]:
    """The bank's word on one payment. One that failed makes the whole part wait for its finance officers again."""
    came_back = isinstance(fact, PaymentFailed)
    word = {
        "outcome": BankOutcome.RETURNED if came_back else BankOutcome.BOOKED,
        "bank_reference": fact.bank_reference,
    }
    changes: dict[str, Any] = {
        "instructions": tuple(
            one.model_copy(update=word) if one.end_to_end_id == fact.end_to_end_id else one
            for one in share.instructions
        )
    }
    # A part that is authorised anew is under way to the bank already: it fails again once that is on record. A held one
    # had failed already, and stays held.
    if came_back and share.state not in (PaymentState.AUTHORISED, PaymentState.HELD):
        changes |= {"state": PaymentState.FAILED, "confirmed_by": None, "paid_at": None}
    return changes


def _reduced(tranches: Tranches, number: int, side: str, amounts: tuple[Amount, ...]) -> Tranches:
    """One side's part cut to what is left to pay; a part of nothing is left out."""

    def reduced(tranche: Tranche) -> Tranche:
        shares = dict(tranche.shares)
        part = shares.pop(side)
        if amounts:
            shares = {
                one: part.model_copy(update={"amounts": amounts}) if one == side else shares[one]
                for one in tranche.shares
            }
        return tranche.model_copy(update={"shares": shares})

    return tuple(reduced(one) if one.number == number else one for one in tranches)


def _one(
    tranches: Tranches,
    fact: OfOneSide,
    update: Update,
) -> Tranches:
    """The part that a fact is on changed."""
    side = fact.directorate
    return _replaced(tranches, fact.number, lambda whose, share: update(share) if whose == side else {})


def _replaced(tranches: Tranches, number: int, update: Callable[[str, Share], dict[str, Any]]) -> Tranches:
    def shares(tranche: Tranche) -> dict[str, Share]:
        return {side: share.model_copy(update=update(side, share)) for side, share in tranche.shares.items()}

    return tuple(
        one.model_copy(update={"shares": shares(one)}) if one.number == number else one for one in tranches
    )
