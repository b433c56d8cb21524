"""What goes into and comes out of an initiative's workflow."""

from __future__ import annotations

from countersign.domain.commands import (
    AdoptAgreement,
    Answer,
    AskAmendment,
    AskResumption,
    AuthoriseTranche,
    ClearCondition,
    Complain,
    ConfirmTranche,
    DeclareConflict,
    DisallowCosts,
    ExtendDeadline,
    GiveEvidence,
    HoldTranche,
    RefuseEvidence,
    ReportPayment,
    ResumeTranche,
    Revise,
    SubmitReport,
    Suspend,
    TakeBackNotice,
    Terminate,
    WaiveReport,
    Withdraw,
    WriteOff,
)
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Caller, SignOff
from countersign.domain.model import Model
from countersign.domain.stage import Stage


class Submit(Model):
    """Begin an initiative with a proposal that is on record under its hash."""

    initiative: str
    reference: str
    agreement: str
    agreement_version: int
    content_hash: str
    applicant: Caller


class Unencrypted(Model):
    """Stands where a message came that was not encrypted, and so was not read."""


class Begin(Model):
    """What a run begins with: the submission, and from the second run on the whole state."""

    submission: Submit
    state: InitiativeState | None = None


class Receipt(Model):
    """A submission that is on record."""

    initiative: str
    reference: str
    stage: Stage
    content_hash: str
    sequence: int


class Ended(Model):
    """How an initiative ended."""

    initiative: str
    reference: str
    stage: Stage
    entries: int
    head: str


__all__ = [
    "AdoptAgreement",
    "Answer",
    "AskAmendment",
    "AskResumption",
    "AuthoriseTranche",
    "Begin",
    "Caller",
    "ClearCondition",
    "Complain",
    "ConfirmTranche",
    "DeclareConflict",
    "DisallowCosts",
    "Ended",
    "ExtendDeadline",
    "GiveEvidence",
    "HoldTranche",
    "Receipt",
    "RefuseEvidence",
    "ReportPayment",
    "ResumeTranche",
    "Revise",
    "SignOff",
    "Submit",
    "SubmitReport",
    "Suspend",
    "TakeBackNotice",
    "Terminate",
    "Unencrypted",
    "WaiveReport",
    "Withdraw",
    "WriteOff",
]
