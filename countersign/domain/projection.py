"""What the record shows of a state: the rows that a step changed, and who is waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from countersign.domain import complaining, ending, in_force, lateness, recovery, steps
from countersign.domain.agreement import FINANCE_OFFICE, MatterKind
from countersign.domain.audit import AuditEntry
from countersign.domain.decision import joint_decision
from countersign.domain.funding import PaymentState, Tranche
from countersign.domain.initiative import Condition, InitiativeState
from countersign.domain.ledger import Transaction, postings
from countersign.domain.matter import Matter, Outcome, waiting_step
from countersign.domain.model import Model
from countersign.domain.notice import NoticeKind
from countersign.domain.papers import (
    amendment_document,
    closure_certificate,
    complaint_document,
    resumption_document,
    subject_document,
)
from countersign.domain.reporting import ReportDue
from countersign.domain.stage import OWED, Stage


class Task(StrEnum):
    """What somebody is waited for to do."""

    SIGN_OFF = "sign_off"
    NEW_VERSION = "new_version"
    EVIDENCE = "evidence"
    CLEAR_CONDITION = "clear_condition"
    AUTHORISE = "authorise"
    CONFIRM = "confirm"
    RESUME = "resume"
    INSTRUCT = "instruct"
    COUNTERSIGN = "countersign"
    ESCALATED = "escalated"
    DIVERGED = "diverged"
    HELD_BACK = "held_back"
    REPORT = "report"
    REPORT_LATE = "report_late"
    SUSPENDING = "suspending"
    TERMINATING = "terminating"
    SUSPENDED = "suspended"
    BUDGET = "budget"


BY_THE_SYSTEM: Final = frozenset({Task.INSTRUCT, Task.COUNTERSIGN, Task.BUDGET})
"""What nobody has to do: a side's own worker signs and instructs by itself, waited for only while it is away; and money
in a side's budget comes free, or a new year brings some.
"""

TOLD: Final = frozenset(
    {
        Task.ESCALATED,
        Task.DIVERGED,
        Task.REPORT_LATE,
        Task.SUSPENDING,
        Task.TERMINATING,
        Task.SUSPENDED,
    }
)
"""What somebody is told and need not do: another office is silent beyond its deadline, some sides paid and some not, a
report does not come, a side has announced something, nothing goes on until somebody asks for it.
"""


class Waiting(Model):
    """Somebody is waited for: an office of a directorate, or the applicant when there is none.

    ``number`` is that of the matter, tranche, report or condition, else of the proposal's version. ``reminded`` is the
    percent of the time at which they were reminded last, of a report the days after it fell due (before it: negative).
    ``not_by`` may not be the one who does it.
    """

    task: Task
    number: int
    directorate: str | None = None
    office: str | None = None
    since: datetime
    deadline: datetime | None = None
    matter_kind: MatterKind | None = None
    reminded: int | None = None
    not_by: tuple[str, ...] = ()

    @property
    def is_to_do(self) -> bool:
        """Whether somebody does it: neither a side's worker by itself, nor nobody, since another thing comes first."""
        return self.task not in BY_THE_SYSTEM | TOLD | {Task.HELD_BACK}


class Version(Model):
    """A version of the proposal as it was submitted."""

    number: int
    content_hash: str
    submitted_at: datetime
    submitted_by: str
    changed: tuple[str, ...]


class Projection(Model):
    """The rows that a step writes beside its audit entries; lists hold what the step changed, and no more.

    ``complaint_until`` is until when a complaint about where it stands may come, none once there was one. ``deferred``
    names the budgets that the initiative waits for, as ``<directorate>/<unit>/<area>``. The numbers of what is no
    longer planned are ``tranches_gone`` and ``reports_gone``.
    """

    id: str
    reference: str
    agreement: str
    agreement_version: int
    applicant: str
    people: tuple[str, ...]
    area: str
    kind: str
    lead_directorate: str
    stage: Stage
    stage_since: datetime
    stage_deadline: datetime | None
    stage_reason: str | None
    complaint_until: datetime | None
    version: int
    content_hash: str
    submitted_at: datetime
    sequence: int
    waits_for: tuple[str, ...]
    next_deadline: datetime | None
    waiting: tuple[Waiting, ...]
    versions: tuple[Version, ...] = ()
    matters: tuple[Matter, ...] = ()
    tranches: tuple[Tranche, ...] = ()
    reports: tuple[ReportDue, ...] = ()
    conditions: tuple[Condition, ...] | None = None
    deferred: tuple[str, ...] | None = None
    tranches_gone: tuple[int, ...] = ()
    reports_gone: tuple[int, ...] = ()


class Event(Model):
    """What subscribers are told of an entry: never more than both sides may know."""

    sequence: int
    type: str
    at: datetime
    data: dict[str, Any]


class Step(Model):
    """What one step of a workflow writes, in one transaction; ``ledger`` is what its entries mean for the money."""

    entries: tuple[AuditEntry, ...]
    projection: Projection
    documents: dict[str, dict[str, Any]]
    events: tuple[Event, ...]
    ledger: tuple[Transaction, ...] = ()


def step_of(before: InitiativeState, after: InitiativeState, entries: Sequence[AuditEntry]) -> Step:
    """The step that leads from one state to the other by ``entries``."""
    return Step(
        entries=tuple(entries),
        projection=project(before, after, entries),
        documents=_documents(after, entries),
        events=tuple(events_of(after.reference, entries)),
        ledger=postings(before, entries),
    )


def project(before: InitiativeState, after: InitiativeState, entries: Sequence[AuditEntry]) -> Projection:
    """The rows of ``after`` that differ from ``before``."""
    waiting = tuple(waited_for(after))
    stage, since, submitted = after.stage, after.stage_since, after.submitted_at
    if stage is None or since is None or submitted is None:
        raise ValueError("nothing was submitted yet")
    deadlines = [one.deadline for one in waiting if one.deadline is not None]
    return Projection(
        id=after.id,
        reference=after.reference,
        agreement=after.terms.agreement,
        agreement_version=after.terms.version,
        applicant=after.applicant.person,
        people=(*after.proposal.people, *after.conflicted),
        area=after.proposal.area,
        kind=after.proposal.kind,
        lead_directorate=after.proposal.lead_directorate,
        stage=stage,
        stage_since=since,
        stage_deadline=after.stage_deadline,
        stage_reason=after.stage_reason,
        complaint_until=None if complaining.complaint(after) else complaining.until(after),
        version=after.version,
        content_hash=after.content_hash,
        submitted_at=submitted,
        sequence=after.sequence,
        waits_for=sides_of(waiting),
        next_deadline=min(deadlines, default=None),
        waiting=waiting,
        versions=tuple(_versions(entries)),
        matters=_changed(before.matters, after.matters),
        tranches=_changed(before.tranches, after.tranches),
        reports=_changed(before.reports, after.reports),
        conditions=None if before.conditions == after.conditions else after.conditions,
        deferred=None if before.deferral == after.deferral else _budgets(after),
        tranches_gone=_gone(before.tranches, after.tranches),
        reports_gone=_gone(before.reports, after.reports),
    )


def _budgets(state: InitiativeState) -> tuple[str, ...]:
    lacking = state.deferral.lacking if state.deferral else ()
    return tuple(f"{one.directorate}/{one.unit}/{one.area or ''}" for one in lacking)


def sides_of(waiting: Iterable[Waiting]) -> tuple[str, ...]:
    """The directorates that are waited for, and ``applicant``, where it is the applicants."""
    return tuple(sorted({one.directorate or "applicant" for one in waiting}))


def waited_for(state: InitiativeState) -> Iterator[Waiting]:
    """Everybody who is waited for, by what they are to do."""
    since = state.stage_since
    if since is None:
        return
    for one in state.matters:
        if one.is_open:
            yield from _signers(one)
    if state.deferral is not None:
        for directorate in dict.fromkeys(one.directorate for one in state.deferral.lacking):
            yield Waiting(
                task=Task.BUDGET,
                number=state.version,
                directorate=directorate,
                since=state.deferral.since,
            )
    if state.stage is Stage.REVISION:
        yield Waiting(
            task=Task.NEW_VERSION, number=state.version + 1, since=since, deadline=state.stage_deadline
        )
    if state.stage is Stage.CONDITIONS:
        yield from _conditions(state, since)
    if state.stage in OWED or state.winding_up:
        for tranche in state.tranches:
            yield from _payers(state, tranche, since)
    yield from _reporters(state)
    yield from _warned(state)


def _signers(one: Matter) -> Iterator[Waiting]:
    for directorate in one.unsigned:
        # The side's own worker signs: nobody's inbox, but it is visible when that worker is away.
        yield Waiting(
            task=Task.COUNTERSIGN,
            number=one.number,
            directorate=directorate,
            since=one.positions[directorate].at,
        )
    for directorate, chain in one.chains.items():
        index = waiting_step(one, directorate)
        if index is None:
            continue
        own = [signed for signed in one.standing if signed.directorate == directorate]
        waits = Waiting(
            task=Task.SIGN_OFF,
            number=one.number,
            directorate=directorate,
            office=chain[index].office,
            since=one.opened_at,  # not when the last step was signed: that is the side's own affair
            deadline=one.deadlines.get(directorate),
            matter_kind=one.kind,
            reminded=one.reminded.get(directorate) or None,
            not_by=tuple(sorted({person for signed in own for person in signed.people})),
        )
        yield waits
        if directorate in one.escalated:
            told = {
                "task": Task.ESCALATED,
                "office": one.escalated[directorate],
                "not_by": (),
                "matter_kind": None,
            }
            yield waits.model_copy(update=told)


def _conditions(state: InitiativeState, since: datetime) -> Iterator[Waiting]:
    decided = state.last_matter(MatterKind.PROPOSAL)
    for condition in state.conditions:
        if condition.cleared_by is not None:
            continue
        if not condition.evidence:
            yield Waiting(
                task=Task.EVIDENCE, number=condition.number, since=since, deadline=condition.deadline
            )
        elif decided is not None:
            yield Waiting(
                task=Task.CLEAR_CONDITION,
                number=condition.number,
                directorate=condition.directorate,
                office=decided.chains[condition.directorate][-1].office,
                since=since,
                deadline=condition.deadline,
            )


def _reporters(state: InitiativeState) -> Iterator[Waiting]:
    """The applicants, with the next report; and once it is late beyond the agreement's word, every side is told."""
    report = lateness.late_report(state)
    if report is not None:
        yield Waiting(
            task=Task.REPORT,
            number=report.number,
            since=report.ends_at,
            deadline=report.due_at,
            reminded=report.reminded,
        )
        if report.escalated:
            told = {"task": Task.REPORT_LATE, "number": report.number, "since": report.due_at}
            yield from _every_side(state, **told, deadline=lateness.suspends_at(state))
    last = ending.last_accounts(state)
    is_claimed = any(one.is_recovery for one in state.tranches)
    if state.winding_up and last is not None and last.is_open and not is_claimed:
        until = ending.accounts_until(state)
        yield Waiting(task=Task.REPORT, number=last.number, since=last.ends_at, deadline=until)


def _warned(state: InitiativeState) -> Iterator[Waiting]:
    """Every side: of what a side has announced; and that it is suspended, while nobody has asked to go on."""
    for one in state.notices:
        task = Task.SUSPENDING if one.kind is NoticeKind.SUSPENSION else Task.TERMINATING
        told = {"task": task, "number": state.version, "since": one.announced_at}
        yield from _every_side(state, **told, deadline=one.effective_at)
    if state.stage is Stage.SUSPENDED and state.open_matter(MatterKind.RESUMPTION) is None:
        told = {"task": Task.SUSPENDED, "number": state.version, "since": state.stage_since}
        yield from _every_side(state, **told, deadline=state.stage_deadline)


def _every_side(state: InitiativeState, **told: Any) -> Iterator[Waiting]:
    for directorate, side in state.terms.sides.items():
        yield Waiting(directorate=directorate, office=side.watching, **told)


_PAYMENT_TASKS: Final = {
    PaymentState.DUE: Task.AUTHORISE,
    PaymentState.FAILED: Task.AUTHORISE,
    PaymentState.AUTHORISED: Task.INSTRUCT,
    PaymentState.INSTRUCTED: Task.CONFIRM,
    PaymentState.HELD: Task.RESUME,
}


def _payers(state: InitiativeState, tranche: Tranche, since: datetime) -> Iterator[Waiting]:
    """Who is waited for with a tranche; while nothing is let go, only for what is on its way to the bank already."""
    ended = state.winding_up and not tranche.is_recovery
    stopped = ended or state.stage is Stage.SUSPENDED
    if not ended:
        yield from _watching(state, tranche)
    for directorate, share in tranche.shares.items():
        task = _PAYMENT_TASKS.get(share.state)
        if task is None or (task is Task.INSTRUCT and not tranche.is_authorised):
            continue  # an authorised share waits for the other side's authorisation, which is listed itself
        if stopped and task not in (Task.INSTRUCT, Task.CONFIRM):
            continue
        if task is Task.INSTRUCT and tranche not in steps.released(state):
            if ended:
                continue  # it goes out no more
            task = Task.HELD_BACK
        yield Waiting(
            task=task,
            number=tranche.number,
            directorate=directorate,
            # Instructing is the side's own worker's task: nobody's inbox, but the operator sees it waits.
            office=None if task in (Task.INSTRUCT, Task.HELD_BACK) else FINANCE_OFFICE,
            since=since,
            # Whoever authorised what failed may do so again; whoever authorised never confirms.
            not_by=share.authorisers if task is Task.CONFIRM else (),
        )


def _watching(state: InitiativeState, tranche: Tranche) -> Iterator[Waiting]:
    """Every side's secretariat, while a tranche is paid by some sides only beyond the limit."""
    if not tranche.is_diverged or tranche.diverged_at is None:
        return
    yield from _every_side(state, task=Task.DIVERGED, number=tranche.number, since=tranche.diverged_at)


def _changed(before: Sequence[Any], after: Sequence[Any]) -> tuple[Any, ...]:
    known = {id(one) for one in before}
    return tuple(one for one in after if id(one) not in known)


def _gone(before: Sequence[Tranche | ReportDue], after: Sequence[Tranche | ReportDue]) -> tuple[int, ...]:
    return tuple(sorted({one.number for one in before} - {one.number for one in after}))


_NEW_VERSIONS: Final = frozenset(
    {
        *("initiative.submitted", "proposal.revised", "proposal.corrected"),
        *("amendment.notified", "amendment.made"),
    }
)
"""The actions that put another version of the proposal in the place of the one before, unless they bring new terms."""


def _versions(entries: Sequence[AuditEntry]) -> Iterator[Version]:
    for entry in entries:
        if entry.action in _NEW_VERSIONS and entry.subject is not None and "terms" not in entry.body:
            yield Version(
                number=entry.body.get("version", 1),
                content_hash=entry.subject,
                submitted_at=entry.instant,
                submitted_by=entry.body.get("asked_by", entry.actor),
                changed=tuple(entry.body.get("changed", ())),
            )


def _documents(after: InitiativeState, entries: Sequence[AuditEntry]) -> dict[str, dict[str, Any]]:
    """The documents that entries name by their hash and that nobody submitted: the system drew them up."""
    documents: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.action == "matter.opened" and entry.subject is not None:
            document = _subject(after, entry, entries)
            if document is not None:
                documents[entry.subject] = document
        if entry.action == "closure.certified" and entry.subject is not None:
            documents[entry.subject] = closure_certificate(after)
        if entry.action == "tranche.claimed" and entry.subject is not None:
            claimed = Tranche.model_validate(entry.body["tranche"])
            documents[entry.subject] = recovery.document(after, claimed)
        if entry.action == "matter.decided":
            documents[entry.body["decision"]] = _decision(after, entry)
    return documents


def _subject(
    after: InitiativeState, opened: AuditEntry, entries: Sequence[AuditEntry]
) -> dict[str, Any] | None:
    kind = MatterKind(opened.body["kind"])
    amendment = after.open_amendment
    if kind is MatterKind.AMENDMENT and amendment is not None and amendment.summary is not None:
        version = in_force.version_of(after, amendment)
        brings = in_force.follows(after, version, amendment.due, opened.instant)
        return amendment_document(after, amendment, brings)
    if kind is MatterKind.RESUMPTION:
        asked = (entry.body["reasons"] for entry in entries if entry.action == "resumption.asked")
        return resumption_document(after, next(asked, None))
    if kind is not MatterKind.COMPLAINT:
        return subject_document(after, kind, after.funding_agreements)
    lodged = next(entry for entry in entries if entry.action == "complaint.lodged")
    return complaint_document(after, lodged.body["reasons"])


def _decision(after: InitiativeState, decided: AuditEntry) -> dict[str, Any]:
    number = decided.body["matter"]
    one = after.matter(number)
    if one is None:
        raise ValueError(f"matter {number} is decided and was never opened")
    return joint_decision(after, one, one.countersigned, Outcome(decided.body["outcome"]))


_TOLD: Final[dict[str, tuple[str, ...]]] = {
    "initiative.submitted": (),
    "stage.entered": ("stage", "before"),
    "matter.opened": ("number", "kind", "about", "deadlines"),
    "matter.position_reached": ("matter",),
    "matter.countersigned": ("matter", "directorate"),
    "matter.deadline_extended": ("matter", "directorate", "deadline"),
    "matter.decided": ("matter", "outcome"),
    "matter.lapsed": ("matter",),
    "matter.voided": ("matter",),
    "condition.set": (),
    "condition.evidenced": ("number",),
    "condition.cleared": ("number",),
    "condition.evidence_refused": ("number",),
    "complaint.lodged": (),
    "complaint.window_opened": ("until",),
    "closure.certified": (),
    "commitment.deferred": (),
    "proposal.revised": ("version",),
    "proposal.corrected": ("version",),
    "agreement.drawn_up": ("edition",),
    "tranche.due": ("number",),
    "tranche.authorised": ("number", "directorate"),
    "tranche.held": ("number", "directorate"),
    "tranche.resumed": ("number", "directorate"),
    "tranche.instructed": ("number",),
    "tranche.paid": ("number", "directorate"),
    "tranche.settled": ("number", "directorate"),
    "tranche.diverged": ("number", "paid", "unpaid"),
    "payment.failed": ("number", "directorate"),
    "tranche.claimed": (),
    "tranche.recovered": ("number", "directorate"),
    "tranche.written_off": ("number", "directorate"),
    "report.waiver_given": ("number", "directorate"),
    "report.waived": ("number",),
    "report.costs_disallowed": ("number", "directorate"),
    "suspension.announced": ("directorate", "effective_at"),
    "suspension.withdrawn": ("directorate",),
    "termination.announced": ("directorate", "effective_at"),
    "termination.withdrawn": ("directorate",),
    "resumption.asked": ("directorate",),
    "initiative.terminated": ("directorate",),
    "initiative.reinstated": (),
    "report.scheduled": (),
    "report.reminded": ("number", "days"),
    "report.overdue": ("number",),
    "report.escalated": ("number",),
    "report.cut_short": ("number", "ends_at", "due_at"),
    "report.submitted": ("number", "version"),
    "report.accepted": ("number",),
    "report.changes_requested": ("number",),
    "amendment.asked": ("number", "weight", "kinds"),
    "amendment.notified": ("number", "version"),
    "amendment.made": ("number", "version"),
    "amendment.rejected": ("number",),
    "initiative.withdrawn": (),
    "record.redacted": (),
}
"""Which actions subscribers hear of, and with which fields: a position only as being in, a sign-off not at all."""


def events_of(reference: str, entries: Sequence[AuditEntry]) -> Iterator[Event]:
    """What subscribers are told of entries."""
    for entry in entries:
        if entry.action in _TOLD:
            yield event_of(entry, reference)


def event_of(entry: AuditEntry, reference: str) -> Event:
    """What subscribers are told of an entry, of those that they hear of."""
    told = {key: entry.body[key] for key in _TOLD[entry.action] if key in entry.body}
    if entry.action == "matter.position_reached":
        told["directorate"] = entry.body["position"]["directorate"]
    if entry.action == "tranche.instructed":
        told["directorates"] = sorted(entry.body["instructions"])
    return Event(
        sequence=entry.sequence,
        type=entry.action,
        at=entry.instant,
        data={"initiative": entry.initiative, "reference": reference, **told},
    )
