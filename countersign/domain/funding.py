"""Commitments and tranches: what each side pays, when, and who may say so (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal

from pydantic import Field

from countersign.domain.agreement import FINANCE_OFFICE, TranchePlan
from countersign.domain.amounts import Amount, split
from countersign.domain.errors import RuleBroken
from countersign.domain.ids import end_to_end_id
from countersign.domain.matter import Caller
from countersign.domain.model import Model


class PaymentState(StrEnum):
    """Where one side's part of a tranche stands."""

    PLANNED = "planned"
    DUE = "due"
    AUTHORISED = "authorised"
    INSTRUCTED = "instructed"
    PAID = "paid"


class Instruction(Model):
    """One payment as the side's bank is told of it, known everywhere by its end-to-end id (ISO 20022)."""

    end_to_end_id: str
    amount: Amount


class Share(Model):
    """One side's part of a tranche: at most one amount a unit."""

    amounts: tuple[Amount, ...]
    state: PaymentState = PaymentState.PLANNED
    authorised_by: str | None = None
    confirmed_by: str | None = None
    instructions: tuple[Instruction, ...] = ()


class Tranche(Model):
    """A tranche is one payment of each side, released together. ``report`` is the report that triggers it."""

    number: int
    trigger: Literal["signature", "report", "closure"]
    report: int | None = None
    shares: dict[str, Share] = Field(default_factory=dict)

    @property
    def is_paid(self) -> bool:
        return all(share.state is PaymentState.PAID for share in self.shares.values())

    @property
    def is_authorised(self) -> bool:
        """Whether every side has authorised, and none is instructed yet: the moment of the linked release."""
        return bool(self.shares) and all(s.state is PaymentState.AUTHORISED for s in self.shares.values())


def plan(
    commitments: Mapping[str, tuple[Amount, ...]], tranches: TranchePlan, interim_reports: int
) -> tuple[Tranche, ...]:
    """The tranches of a commitment: on signature, one on each interim report, on closure.

    They add up to the commitment exactly, per side and unit. Without interim reports their part is paid on signature.
    A part of nothing is left out.
    """
    if interim_reports:
        weights = [tranches.on_signature * interim_reports]
        weights += [tranches.on_reports] * interim_reports
        weights += [tranches.on_closure * interim_reports]
    else:
        weights = [tranches.on_signature + tranches.on_reports, tranches.on_closure]
    parts = {side: [split(amount, weights) for amount in amounts] for side, amounts in commitments.items()}
    planned: list[Tranche] = []
    for index in range(len(weights)):
        last = index == len(weights) - 1
        shares = {
            side: Share(amounts=tuple(part[index] for part in side_parts if part[index].minor))
            for side, side_parts in parts.items()
        }
        planned.append(
            Tranche(
                number=index + 1,
                trigger="closure" if last else "report" if index else "signature",
                report=index if index and not last else None,
                shares={side: share for side, share in shares.items() if share.amounts},
            )
        )
    return tuple(one for one in planned if one.shares)


def check_finance(tranche: Tranche | None, directorate: str, caller: Caller, barred: frozenset[str]) -> Share:
    """The share that a finance officer may act on.

    Raises:
        RuleBroken: ``not_your_office``, ``conflict_of_interest`` or ``not_found``.
    """
    if caller.directorate != directorate or FINANCE_OFFICE not in caller.offices:
        raise RuleBroken("not_your_office", f"payments of {directorate!r} are its finance officers' to make")
    if caller.person in barred or (caller.contact is not None and caller.contact in barred):
        raise RuleBroken("conflict_of_interest", "you have a part in this initiative")
    if tranche is None or directorate not in tranche.shares:
        raise RuleBroken("not_found", "that directorate has no part in such a tranche")
    return tranche.shares[directorate]


def check_authorise(share: Share) -> None:
    """Refuse to authorise what isn't due, or is authorised already.

    Raises:
        RuleBroken: ``out_of_order``.
    """
    if share.state is not PaymentState.DUE:
        raise RuleBroken("out_of_order", f"the payment is {share.state}, not due")


def check_confirm(share: Share, caller: Caller) -> None:
    """Refuse to confirm what wasn't instructed, or what the same person authorised.

    Raises:
        RuleBroken: ``four_eyes`` or ``out_of_order``.
    """
    if share.authorised_by == caller.person:
        raise RuleBroken("four_eyes", "you authorised this payment; another finance officer confirms it")
    if share.state is not PaymentState.INSTRUCTED:
        raise RuleBroken("out_of_order", f"the payment is {share.state}, not instructed")


def instructions(initiative: str, tranche: Tranche, directorate: str) -> tuple[Instruction, ...]:
    """The payment instructions of one side's share; the same share, the same end-to-end ids."""
    return tuple(
        Instruction(
            end_to_end_id=end_to_end_id(initiative, tranche.number, f"{directorate}/{amount.unit}", 1),
            amount=amount,
        )
        for amount in tranche.shares[directorate].amounts
    )


def paid(tranches: tuple[Tranche, ...], directorate: str) -> dict[str, int]:
    """Minor units that a side has paid, per unit."""
    sums: dict[str, int] = {}
    for tranche in tranches:
        share = tranche.shares.get(directorate)
        if share is not None and share.state is PaymentState.PAID:
            for amount in share.amounts:
                sums[amount.unit] = sums.get(amount.unit, 0) + amount.minor
    return sums
