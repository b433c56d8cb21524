"""Commitments and tranches: what each side pays, when, and who may say so (DESIGN section 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from pydantic import Field

from countersign.domain.agreement import FINANCE_OFFICE, TranchePlan
from countersign.domain.amounts import COMPUTE_UNIT, Amount, split
from countersign.domain.errors import RuleBroken
from countersign.domain.ids import end_to_end_id
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Caller
from countersign.domain.model import Model


class PaymentState(StrEnum):
    """Where one side's part of a tranche stands (docs/flow.md, Payments).

    ``paid`` is what the second finance officer says; ``settled`` is when the side's bank has said the same of it all.
    ``held`` is what its own side has stopped before its bank was told. Of what is claimed back, ``recovered`` is what
    ``paid`` is of a payment, and ``written_off`` what its side has given up.
    """

    PLANNED = "planned"
    DUE = "due"
    AUTHORISED = "authorised"
    INSTRUCTED = "instructed"
    PAID = "paid"
    SETTLED = "settled"
    FAILED = "failed"
    HELD = "held"
    RECOVERED = "recovered"
    WRITTEN_OFF = "written_off"


LET_GO: Final = frozenset(
    {
        PaymentState.AUTHORISED,
        PaymentState.INSTRUCTED,
        PaymentState.PAID,
        PaymentState.SETTLED,
        PaymentState.FAILED,
    }
)
"""The states of a part that its own side has authorised, whatever came of it."""

PAID: Final = frozenset({PaymentState.PAID, PaymentState.SETTLED})
"""The states of a part that was paid, whether or not the bank has said so too."""


DONE: Final = PAID | {PaymentState.RECOVERED, PaymentState.WRITTEN_OFF}
"""The states of a part that waits for nobody any more."""


HOLDABLE: Final = frozenset(
    {PaymentState.PLANNED, PaymentState.DUE, PaymentState.AUTHORISED, PaymentState.FAILED}
)
"""The states in which a part can be held; an authorised one only until every side has authorised its own."""


class BankOutcome(StrEnum):
    """What a side's bank says of a payment: the money left for good as far as it knows, or it came back."""

    BOOKED = "booked"
    RETURNED = "returned"


class Instruction(Model):
    """One payment as the side's bank is told of it, known everywhere by its end-to-end id (ISO 20022).

    ``partner`` is who is paid; none where an initiative began before partners were paid one by one. ``attempt`` is none
    for the first; a later one names the payment that it ``replaces``, which is known to have failed.
    """

    end_to_end_id: str
    amount: Amount
    partner: str | None = None
    attempt: int | None = None
    replaces: str | None = None
    outcome: BankOutcome | None = None
    bank_reference: str | None = None

    @property
    def is_money(self) -> bool:
        """Whether a bank carries it; compute is allocated, not paid."""
        return self.amount.unit != COMPUTE_UNIT


class Share(Model):
    """One side's part of a tranche: at most one amount a unit.

    ``authorised_for`` is on whose behalf it was authorised. ``authorised_before`` are those by and for whom it was
    authorised when a payment of it failed or it was held. ``retrying`` are the payments that had failed when the share
    was authorised anew: what fails later is for an authorisation of its own. A held one keeps what it was, by whom it
    is held and why. ``payees`` are the partners in whose proportion it is paid, by what each of them is still to get,
    where an amendment made that another than what they ask for. ``claims`` is what each partner is asked to give back,
    of a part that is claimed back.
    """

    amounts: tuple[Amount, ...]
    state: PaymentState = PaymentState.PLANNED
    authorised_by: str | None = None
    authorised_for: str | None = None
    confirmed_by: str | None = None
    paid_at: datetime | None = None
    instructions: tuple[Instruction, ...] = ()
    authorised_before: tuple[str, ...] | None = None
    retrying: tuple[str, ...] | None = None
    held_from: PaymentState | None = None
    held_by: str | None = None
    held_reasons: str | None = None
    claims: dict[str, tuple[Amount, ...]] | None = None
    payees: dict[str, tuple[Amount, ...]] | None = None

    @property
    def unheld(self) -> PaymentState:
        """Where it stands but for its being held."""
        return self.held_from or self.state

    @property
    def is_let_go(self) -> bool:
        """Whether its own side has let it go; held back afterwards is only what came back, not what was released."""
        return self.state in LET_GO or self.held_from is PaymentState.FAILED

    @property
    def authorisers(self) -> tuple[str, ...]:
        """Who authorised it, and for whom: neither of them confirms it."""
        return tuple(one for one in (self.authorised_by, self.authorised_for) if one is not None)

    @property
    def ever_authorised(self) -> tuple[str, ...]:
        """The same, of every attempt: none of them brings the bank's word on any."""
        return (*(self.authorised_before or ()), *self.authorisers)

    @property
    def current(self) -> tuple[Instruction, ...]:
        """The instructions that no later attempt has replaced."""
        replaced = {one.replaces for one in self.instructions}
        return tuple(one for one in self.instructions if one.end_to_end_id not in replaced)

    @property
    def failed(self) -> tuple[Instruction, ...]:
        """The payments that came back and that were not tried again."""
        return tuple(one for one in self.current if one.outcome is BankOutcome.RETURNED)

    @property
    def is_booked(self) -> bool:
        """Whether the bank has booked everything that it was told to pay."""
        money = [one for one in self.current if one.is_money]
        return bool(money) and all(one.outcome is BankOutcome.BOOKED for one in money)

    def has_paid(self, one: Instruction) -> bool:
        """Whether the money of an instruction has moved, by the officers' word or by the bank's."""
        confirmed = (*PAID, PaymentState.RECOVERED)
        return one.outcome is not BankOutcome.RETURNED and (
            self.state in confirmed or one.outcome is BankOutcome.BOOKED
        )

    def instruction(self, end_to_end: str) -> Instruction | None:
        """The instruction with that end-to-end id."""
        return next((one for one in self.instructions if one.end_to_end_id == end_to_end), None)


class Tranche(Model):
    """A tranche is one payment of each side, released together. ``report`` is the report that triggers it.

    ``diverged_at`` is when it was told that only some sides had paid. One that is claimed back (``recovery``) is of the
    opposite sign: each side claims its own, whatever the other does.
    """

    number: int
    trigger: Literal["signature", "report", "closure", "recovery"]
    report: int | None = None
    shares: dict[str, Share] = Field(default_factory=dict)
    diverged_at: datetime | None = None

    @property
    def is_recovery(self) -> bool:
        """Whether the money comes back."""
        return self.trigger == "recovery"

    @property
    def is_paid(self) -> bool:
        """Whether nothing of it is waited for any more."""
        return not self.unpaid

    @property
    def unpaid(self) -> tuple[str, ...]:
        """The sides whose part is still to be paid, or to come back."""
        return tuple(side for side, share in self.shares.items() if share.state not in DONE)

    @property
    def is_diverged(self) -> bool:
        """Whether it was told that only some sides had paid, and some have still not."""
        return self.diverged_at is not None and not self.is_paid

    def was_diverged(self, at: datetime | None) -> bool:
        """Whether it was told that only some sides had paid, and some had not by then; of no instant, no."""
        paid = [share.paid_at for share in self.shares.values() if share.paid_at]
        return at is not None and self.diverged_at is not None and any(one >= at for one in paid)

    @property
    def is_let_go(self) -> bool:
        """Whether every side has let its part go: the linked release. A claim is linked to nobody else's."""
        return self.is_recovery or all(share.is_let_go for share in self.shares.values())

    @property
    def is_authorised(self) -> bool:
        """Whether a bank is to be told now: every side has authorised, and a part of one is not instructed.

        At first that is the moment of the linked release; later only a part that failed comes here again.
        """
        return bool(self.to_instruct) and self.is_let_go

    @property
    def to_instruct(self) -> tuple[str, ...]:
        """The sides whose part is authorised and not instructed."""
        return tuple(side for side, s in self.shares.items() if s.state is PaymentState.AUTHORISED)


class FundingAgreement(Model):
    """One side's funding agreement, known by its number and its content hash."""

    number: str
    content_hash: str


class FundingAgreements(Model):
    """Every side's funding agreement as they were drawn up together.

    ``edition`` counts from 1, ``version`` is that of the proposal on which they rest, ``drawn_up_on`` a day in UTC.
    """

    edition: int
    version: int
    drawn_up_on: date
    sides: dict[str, FundingAgreement]


class Planned(NamedTuple):
    """A tranche of the plan, and its weight among them all."""

    number: int
    trigger: Literal["signature", "report", "closure"]
    report: int | None
    weight: int


def shape(tranches: TranchePlan, releasing: Sequence[int]) -> tuple[Planned, ...]:
    """The tranches that a plan has: on signature, one on each report that releases one, on closure.

    ``releasing`` are the numbers of these; without any their part is paid on signature.
    """
    count = len(releasing)
    if not count:
        return (
            Planned(1, "signature", None, tranches.on_signature + tranches.on_reports),
            Planned(2, "closure", None, tranches.on_closure),
        )
    return (
        Planned(1, "signature", None, tranches.on_signature * count),
        *(Planned(n, "report", report, tranches.on_reports) for n, report in enumerate(releasing, 2)),
        Planned(count + 2, "closure", None, tranches.on_closure * count),
    )


def plan(
    commitments: Mapping[str, tuple[Amount, ...]], tranches: TranchePlan, releasing: Sequence[int]
) -> tuple[Tranche, ...]:
    """The tranches of a commitment, in the plan's shape.

    They add up to the commitment exactly, per side and unit. A part of nothing is left out.
    """
    parts = shape(tranches, releasing)
    weights = [one.weight for one in parts]
    split_up = {side: [split(amount, weights) for amount in amounts] for side, amounts in commitments.items()}
    planned = []
    for index, part in enumerate(parts):
        shares = {
            side: Share(amounts=tuple(one[index] for one in amounts if one[index].minor))
            for side, amounts in split_up.items()
        }
        planned.append(
            Tranche(
                number=part.number,
                trigger=part.trigger,
                report=part.report,
                shares={side: share for side, share in shares.items() if share.amounts},
            )
        )
    return tuple(one for one in planned if one.shares)


def diverges_at(tranche: Tranche, limit_days: int | None) -> datetime | None:
    """When it is to be told that only some sides have paid a tranche; none when it is not, or was told already."""
    paid = [share.paid_at for share in tranche.shares.values() if share.state in PAID and share.paid_at]
    if limit_days is None or tranche.diverged_at is not None or tranche.is_paid or not paid:
        return None
    if tranche.is_recovery:
        return None  # each side claims its own, and waits for its own
    return min(paid) + timedelta(days=limit_days)


def is_held_back(tranche: Tranche, tranches: Iterable[Tranche], stopped: datetime | None = None) -> bool:
    """Whether no bank is told of a tranche for now: an earlier one was paid by some sides only.

    What is claimed back never is: the more one side has paid alone, the more it has to claim. Once the initiative was
    ``stopped``, it stays so although the earlier one is paid since.
    """
    return not tranche.is_recovery and any(
        one.number < tranche.number and (one.is_diverged or one.was_diverged(stopped)) for one in tranches
    )


def check_finance(
    tranche: Tranche | None,
    directorate: str,
    caller: Caller,
    barred: frozenset[str],
    mandate: Mandate | None = None,
) -> Share:
    """The share that a finance officer may act on, or whoever acts for one under a mandate.

    Raises:
        RuleBroken: ``not_your_office``, ``conflict_of_interest`` or ``not_found``.
    """
    offices, people = caller.offices, {caller.person, caller.contact}
    if mandate is not None:
        offices, people = mandate.offices, people | {mandate.delegator, mandate.delegator_contact}
    if caller.directorate != directorate or FINANCE_OFFICE not in offices:
        raise RuleBroken("not_your_office", f"payments of {directorate!r} are its finance officers' to make")
    if people & barred:
        raise RuleBroken("conflict_of_interest", "you, or who you act for, have a part in this initiative")
    if tranche is None or directorate not in tranche.shares:
        raise RuleBroken("not_found", "that directorate has no part in such a tranche")
    return tranche.shares[directorate]


def check_authorise(share: Share) -> None:
    """Refuse to authorise what is neither due nor failed, or is authorised already.

    Raises:
        RuleBroken: ``out_of_order``.
    """
    if share.state not in (PaymentState.DUE, PaymentState.FAILED):
        raise RuleBroken("out_of_order", f"the payment is {share.state}, not due")


def check_hold(tranche: Tranche, share: Share) -> None:
    """Refuse to hold what is held, paid, or on its way to the bank.

    Raises:
        RuleBroken: ``out_of_order``.
    """
    if share.state is PaymentState.AUTHORISED and tranche.is_let_go:
        raise RuleBroken("out_of_order", "every side has authorised it: it goes to the banks")
    if share.state not in HOLDABLE:
        raise RuleBroken("out_of_order", f"the payment is {share.state}")


def check_resume(share: Share) -> None:
    """Refuse to resume what is not held.

    Raises:
        RuleBroken: ``out_of_order``.
    """
    if share.state is not PaymentState.HELD:
        raise RuleBroken("out_of_order", f"the payment is {share.state}, not held")


def check_confirm(share: Share, people: frozenset[str | None]) -> None:
    """Refuse to confirm what wasn't instructed, or what was authorised by or for one of the ``people`` confirming it.

    Raises:
        RuleBroken: ``four_eyes`` or ``out_of_order``.
    """
    if people & set(share.authorisers):
        raise RuleBroken(
            "four_eyes",
            "you, or who you act for, authorised this payment; another finance officer confirms it",
        )
    if share.state is not PaymentState.INSTRUCTED:
        raise RuleBroken("out_of_order", f"the payment is {share.state}, not instructed")


def check_report(
    share: Share, caller: Caller, end_to_end: str, outcome: BankOutcome, amount: Amount
) -> Instruction:
    """The instruction that a bank's word is of, when that word can count.

    Raises:
        RuleBroken: ``four_eyes``, ``not_found``, ``invalid`` for another amount, ``out_of_order`` for what is known.
    """
    if caller.person in share.ever_authorised:
        raise RuleBroken(
            "four_eyes",
            "this payment was authorised by you or for you; another finance officer brings the bank's word",
        )
    told = share.instruction(end_to_end)
    if told is None or not told.is_money:
        raise RuleBroken("not_found", f"no payment of this part has the end-to-end id {end_to_end}")
    if told.amount != amount:
        raise RuleBroken("invalid", f"the payment is {told.amount}, the bank says {amount}")
    if share.state is PaymentState.WRITTEN_OFF:
        raise RuleBroken("out_of_order", "the claim was given up: its accounts are settled")
    if told.outcome is outcome:
        raise RuleBroken("out_of_order", f"that the payment is {outcome} is known already")
    if told.outcome is BankOutcome.RETURNED:
        # The same id never pays again: what the bank booked before it came back, it may tell after it.
        raise RuleBroken("out_of_order", "the payment came back, and that is final")
    return told


def instructions(
    initiative: str, tranche: Tranche, directorate: str, asked: Mapping[str, tuple[Amount, ...]] | None = None
) -> tuple[Instruction, ...]:
    """The payments that one side's bank is to be told of now; the same share, the same end-to-end ids.

    ``asked`` is what each of the side's partners asked for: it is paid to them in that proportion, exact in the sum,
    unless the share has payees of its own. Of what is claimed back the claims say who gives how much.
    Of a share that was instructed before, only what had failed when it was authorised anew, each under the id of its
    next attempt: the same payments however often this is asked, so that they stay in one file.
    """
    share = tranche.shares[directorate]
    asked = asked if share.claims is None else share.claims
    if share.instructions:
        again = [one for one in share.failed if one.end_to_end_id in (share.retrying or ())]
        return tuple(_again(initiative, tranche.number, directorate, one) for one in again)
    return tuple(
        Instruction(
            end_to_end_id=end_to_end_id(
                initiative, tranche.number, _payee(directorate, partner, part.unit), 1
            ),
            amount=part,
            partner=partner,
        )
        for amount in share.amounts
        for partner, part in _parts(amount, asked if share.payees is None else share.payees)
    )


def _again(initiative: str, tranche: int, directorate: str, failed: Instruction) -> Instruction:
    attempt = (failed.attempt or 1) + 1
    payee = _payee(directorate, failed.partner, failed.amount.unit)
    return Instruction(
        end_to_end_id=end_to_end_id(initiative, tranche, payee, attempt),
        amount=failed.amount,
        partner=failed.partner,
        attempt=attempt,
        replaces=failed.end_to_end_id,
    )


def _payee(directorate: str, partner: str | None, unit: str) -> str:
    return f"{directorate}/{unit}" if partner is None else f"{directorate}/{partner}/{unit}"


def _parts(amount: Amount, asked: Mapping[str, tuple[Amount, ...]] | None) -> list[tuple[str | None, Amount]]:
    """An amount by partner, in proportion to what they asked for in its unit; a part of nothing is left out."""
    weights = {
        partner: sum(one.minor for one in amounts if one.unit == amount.unit)
        for partner, amounts in (asked or {}).items()
    }
    if not any(weights.values()):
        return [(None, amount)]
    parts = zip(weights, split(amount, list(weights.values())), strict=True)
    return [(partner, part) for partner, part in parts if part.minor]


def paid(tranches: tuple[Tranche, ...], directorate: str) -> dict[str, int]:
    """Minor units that a side has paid, per unit; of a part that is not paid whole, what the bank has booked."""
    return _moved(
        one.shares[directorate] for one in tranches if not one.is_recovery and directorate in one.shares
    )


def recovered(tranches: tuple[Tranche, ...], directorate: str) -> dict[str, int]:
    """Minor units that have come back to a side, per unit; counted in the same way."""
    return _moved(
        one.shares[directorate] for one in tranches if one.is_recovery and directorate in one.shares
    )


def _moved(shares: Iterable[Share]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for share in shares:
        booked = [one.amount for one in share.current if share.has_paid(one)]
        whole = share.state in (*PAID, PaymentState.RECOVERED)
        for amount in share.amounts if whole else booked:
            sums[amount.unit] = sums.get(amount.unit, 0) + amount.minor
    return sums
