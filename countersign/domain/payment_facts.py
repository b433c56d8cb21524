"""What can happen to an initiative's money: commitments, tranches, payments, and what comes back."""

from __future__ import annotations

from datetime import date

from countersign.domain.amounts import Amount
from countersign.domain.budget import Lack
from countersign.domain.fact import Fact, FromMessage
from countersign.domain.funding import FundingAgreement, Instruction, Tranche


class CommitmentsFixed(Fact):
    action = "commitment.fixed"
    commitments: dict[str, tuple[Amount, ...]]


class CommitmentsDeferred(Fact):
    """Approved, and too little is left: the initiative waits, and keeps its place among those that wait."""

    action = "commitment.deferred"
    lacking: tuple[Lack, ...]


class CommitmentsReleased(Fact):
    """A refusal has become final, or a terminated initiative is wound up: what is left is given back."""

    action = "commitment.released"


class TranchesPlanned(Fact):
    action = "tranche.planned"
    tranches: tuple[Tranche, ...]


class FundingAgreementsDrawnUp(Fact):
    """Every side's funding agreement, from this version of the proposal; another ``edition`` when one ran out."""

    action = "agreement.drawn_up"
    edition: int
    version: int
    drawn_up_on: date
    sides: dict[str, FundingAgreement]


class TrancheFellDue(Fact):
    action = "tranche.due"
    number: int


class TrancheReduced(Fact):
    """The closing tranche of one side, cut to what its accepted costs leave to pay."""

    action = "tranche.reduced"
    number: int
    directorate: str
    amounts: tuple[Amount, ...]


class TrancheAuthorised(FromMessage):
    action = "tranche.authorised"
    number: int
    directorate: str


class TrancheInstructed(Fact):
    action = "tranche.instructed"
    number: int
    instructions: dict[str, tuple[Instruction, ...]]


class TranchePaid(FromMessage):
    action = "tranche.paid"
    number: int
    directorate: str
    amounts: tuple[Amount, ...]


class TrancheClaimed(Fact):
    """What was paid and not spent is claimed back: a tranche of the opposite sign, due. The subject is the claim."""

    action = "tranche.claimed"
    tranche: Tranche


class TrancheRecovered(FromMessage):
    """One side's claim has come in, as another finance officer confirms."""

    action = "tranche.recovered"
    number: int
    directorate: str
    amounts: tuple[Amount, ...]


class TrancheWrittenOff(FromMessage):
    """A side gives up a claim: ``recovered`` is what the bank has booked of it, ``claimed`` what was still open."""

    action = "tranche.written_off"
    number: int
    directorate: str
    recovered: tuple[Amount, ...]
    claimed: tuple[Amount, ...]
    reasons: str


class FromBank(FromMessage):
    """What a side's bank said of one payment. ``statement`` is the content hash of the file that says it.

    A bank that answers directly says it in no file, and in no message: then ``fingerprint`` is empty.
    """

    fingerprint: str = ""
    number: int
    directorate: str
    end_to_end_id: str
    amount: Amount
    statement: str | None = None
    on: date | None = None
    bank_reference: str | None = None


class PaymentBooked(FromBank):
    """The money left the side's account."""

    action = "payment.booked"


class PaymentFailed(FromBank):
    """The money came back; ``reason`` is the bank's code."""

    action = "payment.failed"
    reason: str | None = None


class TrancheHeld(FromMessage):
    """One side's part is not to be paid until that side lets it go on."""

    action = "tranche.held"
    number: int
    directorate: str
    reasons: str


class TrancheResumed(FromMessage):
    """A held part goes on: as what it was, or due again when it had been authorised."""

    action = "tranche.resumed"
    number: int
    directorate: str
    reasons: str


class TrancheDiverged(Fact):
    """The limit is over within which every side was to have paid its part, and only some have."""

    action = "tranche.diverged"
    number: int
    paid: tuple[str, ...]
    unpaid: tuple[str, ...]


class TrancheSettled(Fact):
    """One side's part is confirmed by its officers, and all of it booked by its bank."""

    action = "tranche.settled"
    number: int
    directorate: str
