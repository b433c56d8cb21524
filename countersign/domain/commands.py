"""The messages that people send to an initiative, in the imperative; each carries an id from its sender."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from countersign.domain.agreement import Identifier, NoticeDays, Terms
from countersign.domain.amendment import Comparison, DueDate
from countersign.domain.amounts import Amount
from countersign.domain.canonical import canonical_json
from countersign.domain.funding import BankOutcome, FundingAgreements
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Caller, SignOff
from countersign.domain.model import MessageId, Model, Number, Sha256
from countersign.domain.notice import NoticeKind
from countersign.domain.proposal import ProposalSummary
from countersign.domain.text import Note, Reasons


class Command(Model):
    """What every message has: an id (the same id again is the same message) and who sends it."""

    id: MessageId
    caller: Caller


class Withdraw(Command):
    reasons: Reasons


class Revise(Command):
    """Put a new version of the proposal, by its hash; ``replaces`` is the version's hash that was read."""

    content_hash: Sha256
    replaces: Sha256


class GiveEvidence(Command):
    condition: Number
    text: Note


class ClearCondition(Command):
    condition: Number


class RefuseEvidence(Command):
    """The evidence does not show that the condition is met."""

    condition: Number
    reasons: Reasons


class Complain(Command):
    """The applicant asks all sides to look at a refusal, or a termination, again."""

    reasons: Reasons


class ExtendDeadline(Command):
    """Give the caller's own side so many more working days in a matter."""

    matter: Number
    working_days: Annotated[int, Field(ge=1, le=120)]
    reasons: Reasons


class DeclareConflict(Command):
    """The caller has an interest in the initiative and decides nothing on it from now on."""

    reasons: Reasons


class FinanceCommand(Command):
    """What a finance officer does with their side's part of a tranche, or somebody on their behalf.

    Left out where it is not given: a message of an earlier version has the same fingerprint.
    """

    tranche: Number
    directorate: Identifier
    on_behalf_of: MessageId | None = Field(default=None, exclude_if=lambda value: value is None)


class AuthoriseTranche(FinanceCommand):
    """Let a part go."""


class ConfirmTranche(FinanceCommand):
    """Say that it was paid."""


class HoldTranche(Command):
    """Stop the caller's own side's part before its bank is told."""

    tranche: Number
    directorate: Identifier
    reasons: Reasons


class ResumeTranche(Command):
    """Let a held part go on."""

    tranche: Number
    directorate: Identifier
    reasons: Reasons


def _moves_something(amount: Amount) -> Amount:
    if amount.minor == 0:
        raise ValueError("an amount of nothing")
    return amount


PositiveAmount = Annotated[Amount, AfterValidator(_moves_something)]


BankText = Annotated[str, StringConstraints(min_length=1, max_length=140)]
"""What a bank writes: a reference, a code, or a few words."""


class ReportPayment(Command):
    """A finance officer brings the bank's word on one payment. ``statement`` is the content hash of the bank's file."""

    tranche: Number
    directorate: Identifier
    end_to_end_id: BankText
    outcome: BankOutcome
    amount: Amount
    statement: Sha256
    on: date | None = None
    bank_reference: BankText | None = None
    reason: BankText | None = None


class WaiveReport(Command):
    """The caller's side does without a report."""

    report: Number
    reasons: Reasons


class WithNotice(Command):
    """What a side announces so many days ahead; the agreement's least notice where it does not say how many.

    Left out where it is not given: a message of an earlier version has the same fingerprint.
    """

    reasons: Reasons
    notice_days: NoticeDays | None = Field(default=None, exclude_if=lambda value: value is None)


class Suspend(WithNotice):
    """The caller's side suspends the initiative for all of them."""


class Terminate(WithNotice):
    """The caller's side ends the initiative for all of them."""


class TakeBackNotice(Command):
    """The caller's side takes back what it announced."""

    notice: NoticeKind


class AskResumption(Command):
    """A side, or the applicants, ask all sides to resume a suspended initiative."""

    reasons: Reasons


class DisallowCosts(Command):
    """Take back the acceptance of some of a partner's costs in a report."""

    report: Number
    partner: Identifier
    amount: PositiveAmount
    reasons: Reasons


class WriteOff(Command):
    """Give up what the caller's side claims back and does not get."""

    tranche: Number
    reasons: Reasons


class SubmitReport(Command):
    report: Number
    content_hash: Sha256


class AskAmendment(Command):
    """Ask for another version of an active initiative's proposal, by its hash, in the place of the one in force."""

    content_hash: Sha256
    replaces: Sha256
    reasons: Reasons


class AdoptAgreement(Command):
    """Ask to move an active initiative to a newer version of the programme agreement than the one it is bound to."""

    agreement_version: Number
    reasons: Reasons


AnyCommand = (
    SignOff
    | ExtendDeadline
    | DeclareConflict
    | Withdraw
    | Revise
    | GiveEvidence
    | ClearCondition
    | RefuseEvidence
    | Complain
    | AuthoriseTranche
    | ConfirmTranche
    | HoldTranche
    | ResumeTranche
    | ReportPayment
    | SubmitReport
    | WaiveReport
    | Suspend
    | Terminate
    | TakeBackNotice
    | AskResumption
    | DisallowCosts
    | WriteOff
    | AskAmendment
    | AdoptAgreement
)


class ExaminedProposal(Model):
    """What the record says of a proposal's document: its summary, or why it can't be taken.

    ``comparison`` is what it changes in the version that it replaces.
    """

    summary: ProposalSummary | None
    faults: tuple[str, ...] = ()
    ineligibilities: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    administrative: bool = False
    comparison: Comparison | None = None


class ExaminedAmendment(Model):
    """What the record says of an amendment: the version that it asks for, when reports would fall due under it, and
    the funding agreements that were drawn up from it. ``terms`` are those of another version of the agreement.
    """

    proposal: ExaminedProposal
    due: tuple[DueDate, ...] = ()
    terms: Terms | None = None
    funding_agreements: FundingAgreements | None = None

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the version can't be taken."""
        return self.proposal.faults


class ExaminedReport(Model):
    """What the record says of a report's document: the costs per side and partner, or why it can't be taken."""

    costs: dict[str, tuple[Amount, ...]] = Field(default_factory=dict)
    by_partner: dict[str, tuple[Amount, ...]] | None = None
    faults: tuple[str, ...] = ()


class MandatesGiven(Model):
    """What the record says of the mandates between two people."""

    mandates: tuple[Mandate, ...] = ()


class Answer(Model):
    """What the sender of a message is told. ``sequence`` is the audit entry that says the same."""

    status: Literal["counted", "refused"]
    sequence: int
    code: str | None = None
    detail: str | None = None


class Seen(Model):
    """A message that was answered; kept for as long as the initiative lives."""

    fingerprint: str
    answer: Answer


def kind_of(command: Model) -> str:
    """The name that a message goes by in the trail: ``sign_off``, ``submit_report``, …"""
    name = type(command).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def fingerprint(command: Model) -> str:
    """A digest of what the message says, whoever says it and under whatever id."""
    said = command.model_dump(mode="json", exclude={"id", "caller"})
    return hashlib.sha256(canonical_json({"kind": kind_of(command), "said": said})).hexdigest()[:16]


def message_key(caller: Caller, message_id: str) -> str:
    """Ids belong to their sender: nobody can use up, or ask after, another's."""
    return f"{caller.person} {message_id}"
