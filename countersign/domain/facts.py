"""What can happen to an initiative: one class a fact, in the past tense, with the action name of the trail.

The facts of a trail, applied in order to an empty state, give the state (:func:`initiative.evolve`): the trail is
the record, everything else is derived from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from countersign.domain import payment_facts
from countersign.domain.agreement import ChainStep, MatterKind, Terms
from countersign.domain.amendment import DueDate, Kind, Weight
from countersign.domain.amounts import Amount
from countersign.domain.audit import SYSTEM
from countersign.domain.budget import Lack
from countersign.domain.fact import Fact, FromMessage
from countersign.domain.funding import FundingAgreements, Tranche
from countersign.domain.matter import Outcome, Position, Response
from countersign.domain.model import Model
from countersign.domain.proposal import ProposalSummary
from countersign.domain.schedule import ReportKind
from countersign.domain.stage import Stage

UNKNOWN: Final = "unknown"
"""The actor of a message that does not say who sent it."""


class Submitted(Fact):
    action = "initiative.submitted"
    reference: str
    agreement: str
    agreement_version: int
    agreement_hash: str
    summary: ProposalSummary
    ineligibilities: tuple[str, ...] = ()


class StageEntered(Fact):
    """``keeps_money`` where what is reserved or committed stays so although the stage by itself would give it back.

    ``report`` is the one whose lateness suspends the initiative.
    """

    action = "stage.entered"
    stage: Stage
    before: Stage | None = None
    reason: str | None = None
    deadline: datetime | None = None
    keeps_money: bool | None = None
    report: int | None = None


class EligibilityChecked(Fact):
    action = "eligibility.checked"
    version: int
    faults: tuple[str, ...]


class MatterOpened(Fact):
    action = "matter.opened"
    number: int
    kind: MatterKind
    about: str
    chains: dict[str, tuple[ChainStep, ...]]
    deadlines: dict[str, datetime]
    lapses_at: datetime | None = None


class SignedOff(FromMessage):
    action = "matter.signed"
    matter: int
    directorate: str
    step: int
    office: str
    name: str
    response: Response
    reasons: str | None = None
    conditions: tuple[str, ...] = ()
    comment: str | None = None
    replaces: str | None = None


class SignOffStruck(Fact):
    """A sign-off no longer counts, since its signer declared an interest."""

    action = "matter.sign_off_struck"
    matter: int
    person: str


class PositionReached(Fact):
    action = "matter.position_reached"
    matter: int
    position: Position


class PositionWithdrawn(Fact):
    """A side's position is no longer in: a new sign-off took the place of the one that had brought it."""

    action = "matter.position_withdrawn"
    matter: int
    directorate: str


class MatterReminded(Fact):
    action = "matter.reminded"
    matter: int
    directorate: str
    office: str
    percent: int


class MatterEscalated(Fact):
    action = "matter.escalated"
    matter: int
    directorate: str
    office: str
    to: str | None = None


class DeadlineExtended(FromMessage):
    action = "matter.deadline_extended"
    matter: int
    directorate: str
    deadline: datetime
    lapses_at: datetime | None = None
    reasons: str


class ConflictDeclared(FromMessage):
    action = "conflict.declared"
    reasons: str


class PositionCountersigned(Fact):
    """A side signed its position with its own key; ``jws`` is the compact serialisation (RFC 7515)."""

    action = "matter.countersigned"
    matter: int
    directorate: str
    jws: str


class MatterDecided(Fact):
    """Every side's position is in and countersigned. ``decision`` is the content hash of the joint decision."""

    action = "matter.decided"
    matter: int
    outcome: Outcome
    decision: str


class MatterLapsed(Fact):
    action = "matter.lapsed"
    matter: int
    silent: tuple[str, ...]


class ClosureCertified(Fact):
    """It is closed: the subject is the certificate, which says what was agreed on, paid, shown and given back."""

    action = "closure.certified"


class MatterVoided(Fact):
    action = "matter.voided"
    matter: int
    reason: str


class NewCondition(Model):
    number: int
    directorate: str
    text: str
    deadline: datetime


class ConditionsSet(Fact):
    action = "condition.set"
    conditions: tuple[NewCondition, ...]


class EvidenceGiven(FromMessage):
    action = "condition.evidenced"
    number: int
    text: str


class ConditionCleared(FromMessage):
    action = "condition.cleared"
    number: int
    office: str


class EvidenceRefused(FromMessage):
    action = "condition.evidence_refused"
    number: int
    office: str
    reasons: str


class ComplaintLodged(FromMessage):
    action = "complaint.lodged"
    reasons: str


class ComplaintWindowOpened(Fact):
    """A termination may be complained of until then; for so long nothing is claimed back, and nothing given back."""

    action = "complaint.window_opened"
    until: datetime


class ProposalCorrected(FromMessage):
    """A new version in which nothing that was decided on changed; sign-offs stay."""

    action = "proposal.corrected"
    version: int
    summary: ProposalSummary
    changed: tuple[str, ...]


class ProposalRevised(FromMessage):
    action = "proposal.revised"
    version: int
    summary: ProposalSummary
    changed: tuple[str, ...]
    ineligibilities: tuple[str, ...] = ()


class ReportScheduled(Model):
    """A report of the schedule. What one could not say at first is left out where it isn't said."""

    number: int
    starts_at: datetime
    ends_at: datetime
    due_at: datetime
    final: bool
    kind: ReportKind = Field(default=ReportKind.BOTH, exclude_if=lambda kind: kind is ReportKind.BOTH)
    milestone: str | None = Field(default=None, exclude_if=lambda milestone: milestone is None)


class ReportsScheduled(Fact):
    action = "report.scheduled"
    reports: tuple[ReportScheduled, ...]


class ReportReminded(Fact):
    """The applicants are reminded of a report, so many ``days`` after it fell due; before it they are negative."""

    action = "report.reminded"
    number: int
    days: int


class ReportFellOverdue(Fact):
    action = "report.overdue"
    number: int


class ReportEscalated(Fact):
    """A report is so late that the secretariat of every side is told."""

    action = "report.escalated"
    number: int


class ReportCutShort(Fact):
    """The initiative was terminated: this report is the last one, on everything up to that instant."""

    action = "report.cut_short"
    number: int
    ends_at: datetime
    due_at: datetime


class ReportSubmitted(FromMessage):
    action = "report.submitted"
    number: int
    version: int
    costs: dict[str, tuple[Amount, ...]]
    by_partner: dict[str, tuple[Amount, ...]] | None = None


class CostsDisallowed(FromMessage):
    """Accepted costs of a partner that turn out ineligible; the side that certified them says so."""

    action = "report.costs_disallowed"
    number: int
    directorate: str
    partner: str
    amount: Amount
    reasons: str


class ReportAccepted(Fact):
    action = "report.accepted"
    number: int


class ReportWaiverGiven(FromMessage):
    """One side does without a report."""

    action = "report.waiver_given"
    number: int
    directorate: str
    reasons: str


class ReportWaived(Fact):
    """Every side does without it: it is waited for no more, and releases what it would have released."""

    action = "report.waived"
    number: int


class ReportReturned(Fact):
    action = "report.changes_requested"
    number: int
    reasons: dict[str, tuple[str, ...]]


class AmendmentAsked(FromMessage):
    """Another version of the proposal is asked for. ``matter`` is the one that decides on it, if every side does.

    ``due`` is when the report on each period of the new version would fall due, ``edition`` that of the funding
    agreements which were drawn up for it. ``terms`` are those of the version of the programme agreement that it leads
    to, if that is another one: then the proposal stays as it is.
    """

    action = "amendment.asked"
    number: int
    weight: Weight
    kinds: tuple[Kind, ...]
    replaces: str
    changed: tuple[str, ...]
    reasons: str
    summary: ProposalSummary
    funding_agreements: FundingAgreements
    due: tuple[DueDate, ...] = ()
    matter: int | None = None
    terms: Terms | None = None


class VersionInForce(Fact):
    """An amendment is in force: the version that it led to, and all that follows from it."""

    number: int
    version: int
    summary: ProposalSummary
    changed: tuple[str, ...]
    asked_by: str
    commitments: dict[str, tuple[Amount, ...]]
    reports: tuple[ReportScheduled, ...]
    tranches: tuple[Tranche, ...]
    terms: Terms | None = None


class AmendmentNotified(VersionInForce):
    """A minor one."""

    action = "amendment.notified"


class AmendmentMade(VersionInForce):
    """A major one, which every side approved."""

    action = "amendment.made"


class AmendmentRejected(Fact):
    """It came to nothing: refused, returned, lapsed, overtaken, or too little money is left for it."""

    action = "amendment.rejected"
    number: int
    reason: str
    lacking: tuple[Lack, ...] = ()


class Withdrawn(FromMessage):
    action = "initiative.withdrawn"
    reasons: str


class Terminated(FromMessage):
    """A side ended it, with reasons."""

    action = "initiative.terminated"
    directorate: str
    reasons: str


class Reinstated(Fact):
    """All sides upheld the complaint that is matter ``complaint``: the termination is undone.

    ``reports`` is the schedule from now on; ``covered`` are the reports of it whose whole periods are in the one that
    was accepted after the termination.
    """

    action = "initiative.reinstated"
    complaint: int
    reports: tuple[ReportScheduled, ...]
    covered: tuple[int, ...] = ()


class Announced(FromMessage):
    """A side announced what takes effect at an instant."""

    directorate: str
    effective_at: datetime
    reasons: str


class SuspensionAnnounced(Announced):
    action = "suspension.announced"


class TerminationAnnounced(Announced):
    action = "termination.announced"


class TakenBack(FromMessage):
    """A side took back what it had announced, before it took effect."""

    directorate: str


class SuspensionWithdrawn(TakenBack):
    action = "suspension.withdrawn"


class TerminationWithdrawn(TakenBack):
    action = "termination.withdrawn"


class ResumptionAsked(FromMessage):
    """Somebody asks for the resumption: a side, or the applicants where there is none."""

    action = "resumption.asked"
    directorate: str | None = None
    reasons: str


class RecordRedacted(Fact):
    """Long after the end: the people in these documents were redacted, and stay so. Their hashes are those of before.

    ``kept`` names them, too, and is left as it was, as another initiative's record needs it. ``attachments`` are those
    whose content was erased, ``histories`` the runs whose archived history was. ``years`` after ``ended_at`` this was
    due, by the rule of ``directorate`` or, without one, of the programme.
    """

    action = "record.redacted"
    documents: tuple[str, ...]
    kept: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    ended_at: datetime
    years: int
    directorate: str | None = None


class MessageRefused(FromMessage):
    """A message that did not count, and why: a refusal is a fact too."""

    action = "message.refused"
    message: str
    code: str
    detail: str


_MONEY: Final = payment_facts  # its classes are facts as well: the table below finds them


def _concrete(base: type[Fact]) -> list[type[Fact]]:
    found = [base] if "action" in vars(base) else []
    return found + [one for child in base.__subclasses__() for one in _concrete(child)]


ACTIONS: Final[dict[str, type[Fact]]] = {one.action: one for one in _concrete(Fact)}
"""Every action name of the trail and the fact it stands for."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fact with who did it, about what content, and which message of theirs caused it."""

    fact: Fact
    actor: str = SYSTEM
    subject: str | None = None
    message: str | None = None
    on_behalf_of: str | None = None

    def body(self) -> dict[str, Any]:
        return self.fact.model_dump(mode="json", exclude_none=True)
