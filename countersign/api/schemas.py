"""What the API says and takes, as OpenAPI shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from countersign.api.identity import Identity
from countersign.domain import matter as matters
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.initiative import Condition
from countersign.domain.ledger import Account, Entry, Standing
from countersign.domain.mandate import MandateKind
from countersign.domain.matter import Response
from countersign.domain.model import MessageId, Sha256
from countersign.domain.projection import TOLD, Task, Version, Waiting
from countersign.domain.proposal import Difference
from countersign.domain.reporting import ReportDue
from countersign.domain.stage import Stage
from countersign.domain.text import Note, Reasons
from countersign.store.documents import Kept
from countersign.store.initiatives import InboxItem, Initiative, Seen

T = TypeVar("T")


class Body(BaseModel):
    """What a caller sends: a misspelt field is told, not dropped."""

    model_config = ConfigDict(extra="forbid")


class SignOffBody(Body):
    """An office holder's response; ``content_hash`` is that of what they read."""

    id: MessageId
    response: Response
    content_hash: Sha256
    reasons: Reasons | None = None
    conditions: list[Note] = Field(default_factory=list, max_length=20)
    comment: Reasons | None = None
    on_behalf_of: MessageId | None = None

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "0199f0a2-5a0e-7c3e-9d0a-1f6f4f6f4f6f",
                    "response": "return",
                    "content_hash": "sha256:" + "0" * 64,
                    "reasons": "Work package 2 has no partner on our side.",
                }
            ]
        },
    )


class MandateBody(Body):
    """Who may sign for the caller, in which matters, up to which amount a unit, from when to when.

    The kind `payment` is no matter: it lets a finance officer's colleague authorise or confirm in their place.
    """

    delegate: MessageId
    kinds: list[MandateKind] = Field(min_length=1, max_length=len(MatterKind) + 1)
    ceiling: list[Amount] = Field(default_factory=list, max_length=10)
    valid_from: AwareDatetime
    valid_to: AwareDatetime


class ExtensionBody(Body):
    """So many more working days for the caller's side, and why."""

    working_days: int = Field(ge=1, le=120)
    reasons: Reasons


class ReasonsBody(Body):
    """Why."""

    reasons: Reasons


class EvidenceBody(Body):
    """How a condition is met."""

    text: Note


class Answered(BaseModel):
    """A message that counted; ``sequence`` is its audit entry."""

    status: str = "counted"
    sequence: int


class WaitingView(BaseModel):
    """Who is waited for. The office is shown to its own side only."""

    task: Task
    number: int
    directorate: str | None
    office: str | None
    since: datetime
    deadline: datetime | None


class ConditionView(BaseModel):
    """A condition; which of its office holders cleared it is the side's own affair."""

    number: int
    directorate: str
    text: str
    set_at: datetime
    deadline: datetime
    evidence: list[str]
    refused: list[str]
    cleared: bool


class InitiativeSummary(BaseModel):
    """An initiative in a list."""

    id: str
    reference: str
    title: dict[str, str]
    area: str
    kind: str
    lead_directorate: str
    stage: Stage
    stage_since: datetime
    waits_for: list[str]
    next_deadline: datetime | None
    submitted_at: datetime


class InitiativeView(InitiativeSummary):
    """Where an initiative stands, what it waits for and on whom, since when, until when.

    ``complaint_until`` is until when a complaint about a refusal or a termination may come, none once there was one.
    """

    agreement: str
    agreement_version: int
    stage_deadline: datetime | None
    stage_reason: str | None
    complaint_until: datetime | None
    version: int
    content_hash: str
    sequence: int
    waiting: list[WaitingView]
    conditions: list[ConditionView]
    versions: list[Version]


class SubmittedView(BaseModel):
    """A submission on record."""

    id: str
    reference: str
    stage: Stage
    content_hash: str
    sequence: int


class ProposalView(BaseModel):
    """A version of the proposal and its text.

    Long after the end its people are redacted: ``content_hash`` is then that of the text before ``redacted_at``.
    """

    version: int
    content_hash: str
    proposal: dict[str, Any]
    redacted_at: datetime | None


class VersionView(ProposalView):
    """A version of the proposal, and what it changed."""

    submitted_at: datetime
    submitted_by: str
    differences: list[Difference]


class SideView(BaseModel):
    """What the caller may see of one side in a matter. Sealed until both positions are in."""

    position_in: bool
    countersigned: bool = False
    deadline: datetime | None = None
    position: Response | None = None
    reasons: list[str] | None = None
    conditions: list[str] | None = None
    at: datetime | None = None
    chain: list[dict[str, Any]] | None = None
    sign_offs: list[dict[str, Any]] | None = None
    waits_for_office: str | None = None
    escalated_to: str | None = None


class MatterView(BaseModel):
    """Something that is or was before the directorates."""

    number: int
    kind: str
    about: str
    content_hash: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    sides: dict[str, SideView]


class MatterDetail(MatterView):
    """A matter with the content that is before the directorates; ``content_hash`` is taken over ``subject``.

    Where that names people, they are redacted long after the end: the hash is then that of before ``redacted_at``.
    """

    subject: dict[str, Any] | None
    redacted_at: datetime | None


class SignedView(Answered):
    """A sign-off that counted, and the matter after it."""

    matter: MatterView


class TransactionView(BaseModel):
    """A transaction of the ledger and the audit entry it follows from; its entries sum to zero, debits are positive."""

    sequence: int
    number: int
    at: datetime
    directorate: str
    unit: str
    code: str
    entries: list[Entry]


class BalanceView(BaseModel):
    """What stands on an account of a side in a unit, in minor units; debits are positive."""

    directorate: str
    unit: str
    account: Account
    minor: int


class YearView(BalanceView):
    """What was entered on an account over all initiatives of an area, in a calendar year (UTC)."""

    area: str
    year: int


class LedgerPage(BaseModel):
    """Transactions in order with the cursor of the next page, and the balances of the initiative as they stand now.

    ``standings`` is what the balances come to for each side and unit: what was allocated, paid and used of it.
    """

    items: list[TransactionView]
    next: str | None = None
    balances: list[BalanceView]
    standings: list[Standing]


class StatementsView(BaseModel):
    """What was entered per area and year, and its sum."""

    items: list[YearView]
    balances: list[BalanceView]


class ReportView(ReportDue):
    """A report and where it stands; ``title`` is what it is called, in each language of the programme."""

    title: dict[str, str] = Field(default_factory=dict)


class ReportDetail(ReportView):
    """A report as it was submitted last, and what each partner claims in it, by budget category."""

    report: dict[str, Any] | None
    statement: dict[str, dict[str, tuple[Amount, ...]]]


class DraftView(BaseModel):
    """What is written of a report so far; it need not be whole."""

    number: int
    report: dict[str, Any]
    written_by: str
    written_at: datetime


class InboxView(BaseModel):
    """Something that waits for the caller; ``also_waits_for`` is who else the initiative waits for.

    ``reminded`` is the percent of the time at which the caller's office was reminded last; of a report, the days after
    it fell due (before it: negative).
    """

    initiative: str
    reference: str
    title: dict[str, str]
    stage: Stage
    task: Task
    number: int
    office: str | None
    since: datetime
    deadline: datetime | None
    reminded: int | None
    also_waits_for: list[str]


class KeyView(BaseModel):
    """A directorate's public signing key as a JWK (RFC 8037), and when it is in force."""

    directorate: str
    valid_from: datetime
    valid_to: datetime | None
    jwk: dict[str, str]


class Page(BaseModel, Generic[T]):
    """A page of a list; ``next`` is the cursor of the page after it, if there is one."""

    items: list[T]
    next: str | None = None


class AuditPage(BaseModel):
    """Audit entries in order; ``next`` is the sequence to go on from."""

    items: list[AuditEntry]
    next: int | None = None


class FoundEntry(BaseModel):
    """An entry of any trail; ``reference`` is that of its initiative, none in the trail of a side's mandates."""

    reference: str | None
    entry: AuditEntry


class HistorySentence(BaseModel):
    """What a workflow history says, with the events that say so.

    ``action`` is the name of the message or the activity that it is about, ``timer`` or ``run``; ``actor`` is who sent
    the message.
    """

    run: str
    events: list[int]
    at: datetime
    action: str
    actor: str | None = None
    sentence: str


class HistoryView(BaseModel):
    """The workflow history of an initiative, all runs after each other."""

    items: list[HistorySentence]


def summary(one: Initiative) -> InitiativeSummary:
    """An initiative as a list shows it."""
    return InitiativeSummary(**_summary_fields(one))


def _summary_fields(one: Initiative) -> dict[str, Any]:
    return {
        "id": one.id,
        "reference": one.reference,
        "title": one.title,
        "area": one.area,
        "kind": one.kind,
        "lead_directorate": one.lead_directorate,
        "stage": one.stage,
        "stage_since": one.stage_since,
        "waits_for": list(one.waits_for),
        "next_deadline": one.next_deadline,
        "submitted_at": one.submitted_at,
    }


def detail(
    one: Initiative,
    waiting: Sequence[Waiting],
    conditions: Sequence[Condition],
    versions: Sequence[Version],
    viewer: Identity,
) -> InitiativeView:
    """An initiative in full, as far as the viewer may see it."""
    return InitiativeView(
        **_summary_fields(one),
        agreement=one.agreement_id,
        agreement_version=one.agreement_version,
        stage_deadline=one.stage_deadline,
        stage_reason=one.stage_reason,
        complaint_until=one.complaint_until,
        version=one.version,
        content_hash=one.content_hash,
        sequence=one.sequence,
        # Whose silence was told to whom is a side's own affair.
        waiting=[_waiting(item, viewer) for item in waiting if item.task not in TOLD or _own(item, viewer)],
        conditions=[
            ConditionView(**one.model_dump(exclude={"cleared_by"}), cleared=one.cleared_by is not None)
            for one in conditions
        ],
        versions=list(versions),
    )


def _own(one: Waiting, viewer: Identity) -> bool:
    return viewer.role == "auditor" or one.directorate == viewer.directorate


def _waiting(one: Waiting, viewer: Identity) -> WaitingView:
    own = _own(one, viewer)
    return WaitingView(
        task=one.task,
        number=one.number,
        directorate=one.directorate,
        office=one.office if own else None,
        since=one.since,
        deadline=one.deadline,
    )


def matter_view(one: Seen, viewer: Identity) -> MatterView:
    """A matter as the viewer may see it."""
    return MatterView(**_matter_fields(one, viewer))


def matter_detail(one: Seen, subject: Kept | None, viewer: Identity) -> MatterDetail:
    """A matter with what is before the directorates."""
    return MatterDetail(
        **_matter_fields(one, viewer),
        subject=subject.body if subject else None,
        redacted_at=subject.redacted_at if subject else None,
    )


def _matter_fields(seen: Seen, viewer: Identity) -> dict[str, Any]:
    one, audits = seen.matter, viewer.role == "auditor"
    sides = matters.seen_by(one, viewer.directorate, datetime.now(UTC), sees_all=audits, sealed=seen.sealed)
    plain = {
        side: {key: _plain(value) for key, value in view.items() if value is not None}
        for side, view in sides.items()
    }
    return {
        "number": one.number,
        "kind": one.kind,
        "about": one.about,
        "content_hash": one.content_hash,
        "opened_at": one.opened_at,
        "closed_at": one.closed_at,
        "outcome": one.outcome,
        "sides": plain,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else value


def inbox_view(one: InboxItem) -> InboxView:
    """An inbox item."""
    return InboxView(
        initiative=one.initiative,
        reference=one.reference,
        title=one.title,
        stage=one.stage,
        task=one.waiting.task,
        number=one.waiting.number,
        office=one.waiting.office,
        since=one.waiting.since,
        deadline=one.waiting.deadline,
        reminded=one.waiting.reminded,
        also_waits_for=[who for who in one.waits_for if who != (one.waiting.directorate or "applicant")],
    )
