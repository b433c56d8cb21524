"""Money that comes back: what each partner is asked for, of what was paid beyond the costs that were accepted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from countersign.domain import funding
from countersign.domain.amounts import Amount, split, total
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened
from countersign.domain.funding import BankOutcome, PaymentState, Share, Tranche
from countersign.domain.initiative import InitiativeState, entries_for
from countersign.domain.papers import accepted_costs, accepted_of_partner


def unspent(state: InitiativeState, side: str) -> tuple[Amount, ...]:
    """What a side has paid beyond the costs that were accepted, one amount a unit; of nothing, none."""
    paid = funding.paid(state.tranches, side)
    left = {unit: minor - accepted_costs(state, side, unit) for unit, minor in sorted(paid.items())}
    return tuple(Amount(minor, unit) for unit, minor in left.items() if minor > 0)


def claims(state: InitiativeState, side: str) -> dict[str, tuple[Amount, ...]]:
    """What each partner of a side is asked for: in proportion to what it has left, exact in the sum.

    Where it can't be told who has something left, in proportion to what each was paid.
    """
    asked: dict[str, list[Amount]] = {}
    for amount in unspent(state, side):
        received = _received(state.tranches, side, amount.unit)
        left = {
            partner: max(0, minor - accepted_of_partner(state, partner, amount.unit))
            for partner, minor in received.items()
        }
        weights = left if sum(left.values()) >= amount.minor else received
        for partner, part in zip(weights, split(amount, list(weights.values())), strict=True):
            if part.minor:
                asked.setdefault(partner, []).append(part)
    return {partner: tuple(some) for partner, some in asked.items()}


def within_what_was_paid(state: InitiativeState, happened: list[Happened], now: datetime) -> list[Happened]:
    """The same facts, unless more would have come back to a side than it has paid: the ledger takes no such thing.

    Raises:
        RuleBroken: ``out_of_order``.
    """
    tranches = entries_for(state, happened, now)[0].tranches
    for side in state.commitments:
        left: Counter[str] = Counter()
        for one in tranches:
            share = one.shares.get(side)
            if share is None:
                continue
            is_whole = share.state in (*funding.PAID, PaymentState.RECOVERED)
            if one.is_recovery:
                came = [told.amount for told in share.current if share.has_paid(told)]
                left.subtract(_minor(share.amounts if is_whole else came))
            elif is_whole:
                left.update(_minor(share.amounts))
            else:
                # Told to the bank and not returned: what nobody confirmed yet may have been booked.
                told = [one.amount for one in share.current if one.outcome is not BankOutcome.RETURNED]
                left.update(_minor(told))
        if any(minor < 0 for minor in left.values()):
            raise RuleBroken(
                "out_of_order", f"more would have come back to {side!r} than it has paid by then"
            )
    return happened


def _minor(amounts: Iterable[Amount]) -> dict[str, int]:
    return {unit: one.minor for unit, one in total(amounts).items()}


def _received(tranches: tuple[Tranche, ...], side: str, unit: str) -> dict[str, int]:
    """What each partner of a side was paid in a unit, in minor units."""
    sums: dict[str, int] = {}
    for tranche in tranches:
        share = tranche.shares.get(side)
        if share is None or tranche.is_recovery:
            continue
        for one in share.current:
            if one.amount.unit == unit and share.has_paid(one):
                partner = one.partner or ""
                sums[partner] = sums.get(partner, 0) + one.amount.minor
    return sums


def tranche(state: InitiativeState) -> Tranche | None:
    """What is to be claimed back now, as a tranche of its own: due for each side that paid too much, if any did."""
    shares: dict[str, Share] = {}
    for side in state.commitments:
        wanted = claims(state, side)
        amounts = unspent(state, side)
        if amounts:
            shares[side] = Share(amounts=amounts, state=PaymentState.DUE, claims=wanted)
    if not shares:
        return None
    number = max((one.number for one in state.tranches), default=0) + 1
    return Tranche(number=number, trigger="recovery", shares=shares)


def document(state: InitiativeState, claimed: Tranche) -> dict[str, Any]:
    """What goes to the partners: who is to give back what, under which reference their bank has to name."""
    return {
        "document": "recovery",
        "initiative": state.id,
        "reference": state.reference,
        "tranche": claimed.number,
        "stage": state.stage.value if state.stage else None,
        "claims": {
            side: [
                {
                    "partner": one.partner,
                    "amount": {"minor": one.amount.minor, "unit": one.amount.unit},
                    "end_to_end_id": one.end_to_end_id,
                }
                for one in funding.instructions(state.id, claimed, side)
            ]
            for side in claimed.shares
        },
    }
