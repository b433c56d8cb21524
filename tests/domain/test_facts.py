"""Facts as the trail keeps them: what is written is read back the same."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from countersign.domain.agreement import ChainStep, MatterKind
from countersign.domain.amendment import DueDate, Kind, Weight
from countersign.domain.amounts import Amount
from countersign.domain.budget import Lack
from countersign.domain.canonical import canonical_json
from countersign.domain.fact import Fact
from countersign.domain.facts import (
    ACTIONS,
    AmendmentAsked,
    AmendmentMade,
    AmendmentNotified,
    AmendmentRejected,
    ClosureCertified,
    ComplaintLodged,
    ComplaintWindowOpened,
    ConditionCleared,
    ConditionsSet,
    ConflictDeclared,
    CostsDisallowed,
    DeadlineExtended,
    EligibilityChecked,
    EvidenceGiven,
    EvidenceRefused,
    Happened,
    MatterDecided,
    MatterEscalated,
    MatterLapsed,
    MatterOpened,
    MatterReminded,
    MatterVoided,
    MessageRefused,
    NewCondition,
    PositionCountersigned,
    PositionReached,
    PositionWithdrawn,
    ProposalCorrected,
    ProposalRevised,
    RecordRedacted,
    Reinstated,
    ReportAccepted,
    ReportCutShort,
    ReportEscalated,
    ReportFellOverdue,
    ReportReminded,
    ReportReturned,
    ReportScheduled,
    ReportsScheduled,
    ReportSubmitted,
    ReportWaived,
    ReportWaiverGiven,
    ResumptionAsked,
    SignedOff,
    SignOffStruck,
    StageEntered,
    Submitted,
    SuspensionAnnounced,
    SuspensionWithdrawn,
    Terminated,
    TerminationAnnounced,
    TerminationWithdrawn,
    Withdrawn,
)
from countersign.domain.funding import FundingAgreement, FundingAgreements, Instruction, Share, Tranche
from countersign.domain.matter import Outcome, Position, Response
from countersign.domain.payment_facts import (
    CommitmentsDeferred,
    CommitmentsFixed,
    CommitmentsReleased,
    FundingAgreementsDrawnUp,
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
    TranchesPlanned,
    TrancheWrittenOff,
)
from countersign.domain.proposal import summarise
from countersign.domain.stage import Stage
from tests.domain.lives import START, two_sides

_, PROPOSAL = two_sides()
SUMMARY = summarise(PROPOSAL)
SOME = (Amount(1, "ILS"), Amount(0, "GPUh"))
CHAIN = (ChainStep(office="head"), ChainStep(office="clerk", need=2, above=Amount(5, "ILS")))
SIGNED: dict[str, Any] = {
    "fingerprint": "f", "matter": 1, "directorate": "il", "step": 0, "office": "head", "name": "",
}  # fmt: skip
FROM_BANK: dict[str, Any] = {
    "fingerprint": "f", "number": 1, "directorate": "il", "end_to_end_id": "CS1", "amount": SOME[0], "statement": "s",
}  # fmt: skip
ANNOUNCED: dict[str, Any] = {
    "fingerprint": "f", "directorate": "il", "effective_at": START, "reasons": "R.",
}  # fmt: skip
SCHEDULED = ReportScheduled(number=1, starts_at=START, ends_at=START, due_at=START, final=False)
DRAWN_UP = FundingAgreements(
    edition=2,
    version=1,
    drawn_up_on=START.date(),
    sides={"il": FundingAgreement(number="R/il/2", content_hash="sha256:0")},
)
IN_FORCE: dict[str, Any] = {
    "number": 1,
    "version": 2,
    "summary": SUMMARY,
    "changed": ("duration_months",),
    "asked_by": "applicants/a",
    "commitments": {"il": SOME, "az": ()},
    "reports": (SCHEDULED,),
    "tranches": (
        Tranche(number=1, trigger="signature", shares={"il": Share(amounts=SOME, payees={"p": SOME})}),
    ),
}
FACTS: list[Fact] = [
    Submitted(reference="R", agreement="a", agreement_version=1, agreement_hash="h", summary=SUMMARY),
    StageEntered(stage=Stage.SUBMITTED, before=None),
    StageEntered(stage=Stage.REVISION, before=Stage.DECISION, reason="So.", deadline=START),
    EligibilityChecked(version=1, faults=()),
    MatterOpened(
        number=1,
        kind=MatterKind.PROPOSAL,
        about="it",
        chains={"il": CHAIN, "az": CHAIN[:1]},
        deadlines={"il": START, "az": START + timedelta(microseconds=1)},
        lapses_at=START,
    ),
    MatterOpened(number=1, kind=MatterKind.REPORT, about="", chains={}, deadlines={}, lapses_at=None),
    SignedOff(**SIGNED, response=Response.APPROVE, reasons=None, conditions=(), comment=None),
    SignedOff(**SIGNED, response=Response.RETURN, reasons="R.", conditions=("C",), comment="c"),
    PositionReached(
        matter=1,
        position=Position(directorate="il", response=Response.APPROVE, offices=("head",), at=START),
    ),
    PositionCountersigned(matter=1, directorate="il", jws="a.b.c"),
    PositionWithdrawn(matter=1, directorate="il"),
    SignOffStruck(matter=1, person="il/a"),
    MatterReminded(matter=1, directorate="il", office="head", percent=50),
    MatterEscalated(matter=1, directorate="il", office="head", to=None),
    MatterEscalated(matter=1, directorate="il", office="officer", to="head"),
    DeadlineExtended(
        fingerprint="f", matter=1, directorate="il", deadline=START, lapses_at=None, reasons="R."
    ),
    ConflictDeclared(fingerprint="f", reasons="R."),
    MatterDecided(matter=1, outcome=Outcome.APPROVED, decision="sha256:0"),
    MatterLapsed(matter=1, silent=("il",)),
    MatterVoided(matter=1, reason="withdrawn"),
    ConditionsSet(conditions=(NewCondition(number=1, directorate="il", text="Do.", deadline=START),)),
    EvidenceGiven(fingerprint="f", number=1, text="See."),
    ConditionCleared(fingerprint="f", number=1, office="head"),
    EvidenceRefused(fingerprint="f", number=1, office="head", reasons="R."),
    ComplaintLodged(fingerprint="f", reasons="R."),
    ComplaintWindowOpened(until=START),
    Reinstated(complaint=7, reports=(SCHEDULED,)),
    Reinstated(complaint=7, reports=(SCHEDULED, SCHEDULED), covered=(2,)),
    ProposalCorrected(fingerprint="f", version=2, summary=SUMMARY, changed=("partners[0].name.en",)),
    ProposalRevised(fingerprint="f", version=2, summary=SUMMARY, changed=("title.en",)),
    CommitmentsFixed(commitments={"il": SOME, "az": ()}),
    CommitmentsDeferred(lacking=(Lack(directorate="il", unit="ILS", year=2027, wanted=2, left=1),)),
    CommitmentsReleased(),
    ClosureCertified(),
    TranchesPlanned(
        tranches=(
            Tranche(number=1, trigger="signature", shares={"il": Share(amounts=SOME)}),
            Tranche(number=2, trigger="report", report=1),
        )
    ),
    FundingAgreementsDrawnUp(**DRAWN_UP.model_dump()),
    TrancheFellDue(number=1),
    TrancheClaimed(
        tranche=Tranche(
            number=3, trigger="recovery", shares={"il": Share(amounts=SOME, claims={"one": SOME})}
        )
    ),
    TrancheRecovered(fingerprint="f", number=3, directorate="il", amounts=SOME),
    TrancheWrittenOff(fingerprint="f", number=3, directorate="il", recovered=(), claimed=SOME, reasons="R."),
    CostsDisallowed(fingerprint="f", number=1, directorate="il", partner="one", amount=SOME[0], reasons="R."),
    ReportWaiverGiven(fingerprint="f", number=1, directorate="il", reasons="R."),
    ReportWaived(number=1),
    Terminated(fingerprint="f", directorate="il", reasons="R."),
    TrancheReduced(number=1, directorate="il", amounts=()),
    TrancheAuthorised(fingerprint="f", number=1, directorate="il"),
    TrancheInstructed(
        number=1, instructions={"il": (Instruction(end_to_end_id="CS1", amount=SOME[0]),), "az": ()}
    ),
    TranchePaid(fingerprint="f", number=1, directorate="il", amounts=SOME),
    PaymentBooked(**FROM_BANK, on=START.date(), bank_reference="B-1"),
    PaymentFailed(**FROM_BANK),
    PaymentFailed(**FROM_BANK, on=START.date(), bank_reference="B-1", reason="AC04"),
    TrancheHeld(fingerprint="f", number=1, directorate="il", reasons="R."),
    TrancheResumed(fingerprint="f", number=1, directorate="il", reasons="R."),
    TrancheDiverged(number=1, paid=("il",), unpaid=("az",)),
    TrancheSettled(number=1, directorate="il"),
    ReportsScheduled(reports=(SCHEDULED, SCHEDULED.model_copy(update={"final": True}))),
    StageEntered(stage=Stage.SUSPENDED, before=Stage.ACTIVE, reason="So.", deadline=START, report=1),
    ReportReminded(number=1, days=-3),
    ReportFellOverdue(number=1),
    ReportEscalated(number=1),
    ReportCutShort(number=1, ends_at=START, due_at=START),
    SuspensionAnnounced(**ANNOUNCED),
    SuspensionWithdrawn(fingerprint="f", directorate="il"),
    TerminationAnnounced(**ANNOUNCED),
    TerminationWithdrawn(fingerprint="f", directorate="il"),
    ResumptionAsked(fingerprint="f", directorate="il", reasons="R."),
    ResumptionAsked(fingerprint="f", reasons="R."),
    ReportSubmitted(fingerprint="f", number=1, version=1, costs={"il": SOME, "az": ()}),
    ReportAccepted(number=1),
    ReportReturned(number=1, reasons={"il": ("No.",)}),
    AmendmentAsked(
        fingerprint="f",
        number=1,
        weight=Weight.MAJOR,
        kinds=(Kind.EXTENSION,),
        replaces="sha256:0",
        changed=("duration_months",),
        reasons="R.",
        summary=SUMMARY,
        funding_agreements=DRAWN_UP,
        due=(DueDate(ends_at=START, due_at=START),),
        matter=7,
    ),
    AmendmentNotified(**IN_FORCE),
    AmendmentMade(**IN_FORCE),
    AmendmentRejected(number=1, reason="R."),
    AmendmentRejected(
        number=1, reason="R.", lacking=(Lack(directorate="il", unit="ILS", year=2027, wanted=2, left=1),)
    ),
    Withdrawn(fingerprint="f", reasons="So."),
    RecordRedacted(documents=("sha256:0",), kept=("sha256:1",), ended_at=START, years=10, directorate="il"),
    MessageRefused(fingerprint="f", message="sign_off", code="invalid", detail=""),
]


def test_every_kind_of_fact_is_tried_here() -> None:
    assert {type(fact) for fact in FACTS} == set(ACTIONS.values())


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.action)
def test_the_body_of_an_entry_is_the_fact_again(fact: Fact) -> None:
    body = Happened(fact).body()
    assert canonical_json(body)
    assert ACTIONS[fact.action].model_validate(body) == fact
