"""The state of one initiative, and how each fact changes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import Field

from countersign.domain import audit, reports, shares
from countersign.domain.agreement import MatterKind, Terms
from countersign.domain.amendment import Amendment, AmendmentState
from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.budget import Deferral
from countersign.domain.budget import reason as why_it_waits
from countersign.domain.commands import Answer, Seen, message_key
from countersign.domain.errors import RuleBroken
from countersign.domain.fact import Fact, FromMessage
from countersign.domain.facts import (
    ACTIONS,
    AmendmentAsked,
    AmendmentMade,
    AmendmentRejected,
    Announced,
    ComplaintWindowOpened,
    ConditionCleared,
    ConditionsSet,
    ConflictDeclared,
    DeadlineExtended,
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
    PositionCountersigned,
    PositionReached,
    PositionWithdrawn,
    ProposalCorrected,
    ProposalRevised,
    Reinstated,
    ReportAccepted,
    ReportWaived,
    SignedOff,
    SignOffStruck,
    StageEntered,
    Submitted,
    SuspensionAnnounced,
    SuspensionWithdrawn,
    TakenBack,
    VersionInForce,
)
from countersign.domain.funding import FundingAgreements, Tranche
from countersign.domain.matter import OVERDUE, REMINDERS, Caller, Counted, Matter, Outcome
from countersign.domain.model import Model
from countersign.domain.notice import Notice, NoticeKind
from countersign.domain.payment_facts import (
    CommitmentsDeferred,
    CommitmentsFixed,
    CommitmentsReleased,
    FundingAgreementsDrawnUp,
    TranchesPlanned,
)
from countersign.domain.proposal import ProposalSummary
from countersign.domain.reporting import FINISHED, ReportDue
from countersign.domain.stage import OWED, PROMISED, TERMINAL, TRANSITIONS, Stage


class Condition(Model):
    """A condition that a side set: the applicant gives evidence, then that side clears it, or refuses the evidence.

    ``evidence`` is what waits to be looked at, ``refused`` why earlier evidence did not do.
    """

    number: int
    directorate: str
    text: str
    set_at: datetime
    deadline: datetime
    evidence: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    cleared_by: str | None = None


class InitiativeState(Model):
    """Everything a running initiative knows; the whole of it travels across continue-as-new.

    ``sequence`` and ``head`` are those of the last audit entry. ``answers`` are the messages seen, by
    :func:`commands.message_key`. ``reserved`` is whether the commitments are promised and not owed yet,
    ``deferral`` that they can't be, as too little money is left; ``winding_up`` that a terminated one
    still has money under way, or to come back; ``stopped_since`` is when it was suspended or terminated, whichever was
    first. ``complain_until`` is until when the termination may be complained of, none where that was not opened;
    ``complaint`` the matter that complains of it, or by which it was undone. ``notices`` are what sides announced and
    what has not taken effect; ``suspended_for`` is the late report by which it is suspended, ``to_resume`` that all
    sides are to be asked whether it goes on: this one was accepted since, or a termination undone.
    """

    id: str
    reference: str
    terms: Terms
    applicant: Caller
    sequence: int = 0
    head: str = audit.GENESIS
    stage: Stage | None = None
    stage_since: datetime | None = None
    stage_deadline: datetime | None = None
    stage_reason: str | None = None
    version: int = 0
    content_hash: str = ""
    summary: ProposalSummary | None = None
    submitted_at: datetime | None = None
    ineligibilities: tuple[str, ...] = ()
    matters: tuple[Matter, ...] = ()
    conditions: tuple[Condition, ...] = ()
    commitments: dict[str, tuple[Amount, ...]] = Field(default_factory=dict)
    reserved: bool = False
    winding_up: bool = False
    stopped_since: datetime | None = None
    complain_until: datetime | None = None
    complaint: int | None = None
    notices: tuple[Notice, ...] = ()
    suspended_for: int | None = None
    to_resume: bool = False
    deferral: Deferral | None = None
    funding_agreements: FundingAgreements | None = None
    tranches: tuple[Tranche, ...] = ()
    reports: tuple[ReportDue, ...] = ()
    amendments: tuple[Amendment, ...] = ()
    conflicted: tuple[str, ...] = ()
    answers: dict[str, Seen] = Field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.stage in TERMINAL and not self.winding_up

    def approvals_until(self, validity_days: int) -> datetime | None:
        """When the first of the sides' approvals of the proposal runs out."""
        decided = self.last_matter(MatterKind.PROPOSAL)
        if decided is None or not decided.positions:
            return None
        return min(one.at for one in decided.positions.values()) + timedelta(days=validity_days)

    @property
    def proposal(self) -> ProposalSummary:
        if self.summary is None:
            raise RuleBroken("stage_closed", "nothing was submitted yet")
        return self.summary

    @property
    def barred(self) -> frozenset[str]:
        """Persons and contact keys that have a part in this initiative and so decide nothing on it.

        Whoever would have one by an amendment that is open has it already.
        """
        people = set(self.summary.people if self.summary else ())
        if self.open_amendment is not None and self.open_amendment.summary is not None:
            people.update(self.open_amendment.summary.people)
        own = (self.applicant.person, *((self.applicant.contact,) if self.applicant.contact else ()))
        return frozenset((*own, *people, *self.conflicted))

    def matter(self, number: int) -> Matter | None:
        return self.matters[number - 1] if 0 < number <= len(self.matters) else None

    def open_matter(self, kind: MatterKind) -> Matter | None:
        return next((one for one in reversed(self.matters) if one.kind is kind and one.is_open), None)

    def last_matter(self, kind: MatterKind) -> Matter | None:
        return next((one for one in reversed(self.matters) if one.kind is kind), None)

    def tranche(self, number: int) -> Tranche | None:
        return next((one for one in self.tranches if one.number == number), None)

    def report(self, number: int) -> ReportDue | None:
        return self.reports[number - 1] if 0 < number <= len(self.reports) else None

    def next_report(self) -> ReportDue | None:
        """The first report that is neither accepted nor waived yet."""
        return next((one for one in self.reports if one.state not in FINISHED), None)

    @property
    def open_amendment(self) -> Amendment | None:
        """The amendment that was asked for and is not settled; there is one at a time."""
        return next((one for one in self.amendments if one.state is AmendmentState.ASKED), None)

    def requested_in(self, matter: Matter) -> dict[str, tuple[Amount, ...]]:
        """What each side is asked for by what a matter puts before them."""
        asked = next((one for one in self.amendments if one.matter == matter.number), None)
        return (asked.summary if asked and asked.summary else self.proposal).requested

    def answer_to(self, caller: Caller, message_id: str) -> Seen | None:
        return self.answers.get(message_key(caller, message_id))


def entries_for(
    state: InitiativeState, happened: Iterable[Happened], now: datetime
) -> tuple[InitiativeState, tuple[AuditEntry, ...]]:
    """The audit entries of some facts, continuing the state's trail, and the state after them."""
    entries: list[AuditEntry] = []
    for one in happened:
        entry = audit.seal(
            initiative=state.id,
            sequence=state.sequence + 1,
            action=one.fact.action,
            actor=one.actor,
            on_behalf_of=one.on_behalf_of,
            at=now,
            subject=one.subject,
            message=one.message,
            body=one.body(),
            previous=state.head,
        )
        entries.append(entry)
        state = evolve(state, one.fact, entry)
    return state, tuple(entries)


def replay(state: InitiativeState, entries: Iterable[AuditEntry]) -> InitiativeState:
    """The state after entries that were written to the trail; what a run that lost its memory adopts.

    Raises:
        ValueError: when the entries do not continue the state's trail.
    """
    for entry in entries:
        if entry.sequence != state.sequence + 1 or entry.previous != state.head:
            raise ValueError(f"entry {entry.sequence} does not continue entry {state.sequence}")
        state = evolve(state, ACTIONS[entry.action].model_validate(entry.body), entry)
    return state


V = TypeVar("V")


def evolve(state: InitiativeState, fact: Fact, entry: AuditEntry) -> InitiativeState:
    """The state after a fact. Pure, and the only way a state changes."""
    changes = _changes(state, fact, entry)
    if isinstance(fact, FromMessage) and entry.message is not None:
        changes["answers"] = state.answers | {
            f"{entry.actor} {entry.message}": Seen(fingerprint=fact.fingerprint, answer=_answer(fact, entry))
        }
    return state.model_copy(update={**changes, "sequence": entry.sequence, "head": entry.hash})


def _answer(fact: Fact, entry: AuditEntry) -> Answer:
    if isinstance(fact, MessageRefused):
        return Answer(status="refused", sequence=entry.sequence, code=fact.code, detail=fact.detail)
    return Answer(status="counted", sequence=entry.sequence)


def _changes(state: InitiativeState, fact: Fact, entry: AuditEntry) -> dict[str, Any]:
    """Which fields of the state a fact gives another value."""
    at = entry.instant
    match fact:
        case Submitted(summary=summary, ineligibilities=found):
            return {
                "version": 1,
                "content_hash": entry.subject,
                "summary": summary,
                "ineligibilities": found,
                "submitted_at": at,
            }
        case StageEntered(stage=stage, reason=reason, deadline=deadline, keeps_money=keeps, report=late):
            if stage not in TRANSITIONS[state.stage]:
                raise RuleBroken("stage_closed", f"there is no way from {state.stage} to {stage}")
            return {
                "stage": stage,
                "stage_since": at,
                "stage_deadline": deadline,
                "stage_reason": reason,
                "reserved": stage is not Stage.TERMINATED
                and (bool(keeps) or (state.reserved and stage in PROMISED)),
                "winding_up": stage is Stage.TERMINATED and bool(keeps),
                "stopped_since": _stopped_since(state, stage, at),
                "complain_until": None,
                "complaint": None,
                "deferral": None,
                "notices": tuple(
                    one for one in state.notices if one.kind is NoticeKind.TERMINATION and stage in OWED
                ),
                "suspended_for": late,
                "to_resume": False,
                **({"reports": reports.untold(state.reports)} if state.stage is Stage.SUSPENDED else {}),
            }
        case ProposalRevised(version=version, summary=summary, ineligibilities=found):
            return {
                "version": version,
                "content_hash": entry.subject,
                "summary": summary,
                "ineligibilities": found,
                "conditions": (),
            }
        case ConflictDeclared():
            return {"conflicted": (*state.conflicted, entry.actor)}
        case ConditionsSet(conditions=conditions):
            new = (Condition(**one.model_dump(), set_at=at) for one in conditions)
            return {"conditions": tuple(new)}
        case EvidenceGiven(number=number, text=text):
            return _condition(state, number, lambda c: {"evidence": (*c.evidence, text)})
        case ConditionCleared(number=number):
            return _condition(state, number, lambda _: {"cleared_by": entry.actor})
        case EvidenceRefused(number=number, reasons=reasons):
            return _condition(state, number, lambda c: {"evidence": (), "refused": (*c.refused, reasons)})
        case ProposalCorrected(version=version, summary=summary):
            return {
                "version": version,
                "content_hash": entry.subject,
                "summary": summary,
                "matters": tuple(
                    _corrected(one, state.content_hash, entry.subject or "") for one in state.matters
                ),
            }
        case CommitmentsFixed(commitments=commitments):
            return {"commitments": commitments, "reserved": True, "deferral": None}
        case CommitmentsReleased():
            return {"reserved": False, "winding_up": False}
        case CommitmentsDeferred(lacking=lacking):
            since = state.deferral.since if state.deferral else at
            deferral = Deferral(since=since, lacking=lacking)
            return {"deferral": deferral, "stage_reason": why_it_waits(lacking)}
        case TranchesPlanned(tranches=tranches):
            return {"tranches": tranches}
        case FundingAgreementsDrawnUp():
            return {"funding_agreements": FundingAgreements(**fact.model_dump())}
        case _:
            return (
                _changes_in_matters(state, fact, entry)
                or _changes_by_amendments(state, fact, entry)
                or _changes_while_active(state, fact, entry)
            )


def _stopped_since(state: InitiativeState, stage: Stage, at: datetime) -> datetime | None:
    stopped = (Stage.SUSPENDED, Stage.TERMINATED)
    if stage not in stopped:
        return None
    return (state.stopped_since or state.stage_since) if state.stage in stopped else at


def _changes_in_matters(state: InitiativeState, fact: Fact, entry: AuditEntry) -> dict[str, Any]:
    at = entry.instant
    match fact:
        case MatterOpened():
            opened = Matter(**fact.model_dump(), content_hash=entry.subject or "", opened_at=at)
            anew = {"deferral": None, "stage_reason": None} if state.deferral else {}
            return {"matters": (*state.matters, opened), **anew, **_opened(state, opened)}
        case SignedOff():
            counted = Counted(
                **fact.model_dump(exclude={"matter", "fingerprint", "replaces"}),
                person=entry.actor,
                on_behalf_of=entry.on_behalf_of,
                at=at,
            )
            before = fact.replaces
            return _matter(
                state,
                fact.matter,
                lambda m: {"counted": (*_struck(m, before), counted), **_next_step(m, fact.directorate)},
            )
        case SignOffStruck(matter=number, person=person):
            return _matter(state, number, lambda m: {"counted": _struck(m, person)})
        case PositionWithdrawn(matter=number, directorate=side):
            return _matter(
                state,
                number,
                lambda m: {
                    "positions": _without(m.positions, side),
                    "countersigned": _without(m.countersigned, side),
                },
            )
        case MatterReminded() | MatterEscalated() | DeadlineExtended():
            return _matter(state, fact.matter, lambda m: _clock(m, fact, at))
        case PositionReached(matter=number, position=position):
            side = position.directorate
            return _matter(
                state,
                number,
                lambda m: {
                    "positions": m.positions | {side: position},
                    "countersigned": _without(m.countersigned, side),
                },
            )
        case PositionCountersigned(matter=number, directorate=side, jws=jws):
            return _matter(state, number, lambda m: {"countersigned": m.countersigned | {side: jws}})
        case MatterDecided(matter=number, outcome=outcome, decision=decision):
            closed = {"outcome": outcome, "closed_at": at, "decision": decision}
            return _matter(state, number, lambda _: closed)
        case MatterLapsed(matter=number):
            return _matter(state, number, lambda _: {"outcome": Outcome.LAPSED, "closed_at": at})
        case MatterVoided(matter=number):
            return _matter(state, number, lambda _: {"outcome": Outcome.VOID, "closed_at": at})
        case _:
            return {}


def _opened(state: InitiativeState, matter: Matter) -> dict[str, Any]:
    """What else is so once something is before the directorates."""
    if matter.kind is MatterKind.RESUMPTION:
        return {"to_resume": False}
    if matter.kind is MatterKind.COMPLAINT and state.stage is Stage.TERMINATED:
        return {"complaint": matter.number}
    return {}


def _changes_by_amendments(state: InitiativeState, fact: Fact, entry: AuditEntry) -> dict[str, Any]:
    match fact:
        case AmendmentAsked():
            asked = Amendment(
                **fact.model_dump(exclude={"fingerprint"}),
                content_hash=entry.subject or "",
                asked_by=entry.actor,
                asked_at=entry.instant,
                edition=fact.funding_agreements.edition,
            )
            return {"amendments": (*state.amendments, asked)}
        case VersionInForce():
            made = isinstance(fact, AmendmentMade)
            return {
                "amendments": _settled(
                    state, fact.number, AmendmentState.MADE if made else AmendmentState.NOTIFIED
                ),
                "version": fact.version,
                "content_hash": entry.subject,
                "summary": fact.summary,
                "commitments": fact.commitments,
                "reports": reports.rescheduled(state.reports, fact.reports, entry.instant),
                "tranches": fact.tranches,
                **({} if fact.terms is None else {"terms": fact.terms}),
            }
        case AmendmentRejected(number=number):
            return {"amendments": _settled(state, number, AmendmentState.REJECTED)}
        case _:
            return {}


def _settled(state: InitiativeState, number: int, became: AmendmentState) -> tuple[Amendment, ...]:
    """The amendments with one of them settled: what it would have brought is in force now, or of no use."""
    settled = {"state": became, "summary": None, "due": (), "terms": None}
    settled |= {"funding_agreements": None}
    return _replaced(state.amendments, number, lambda _: settled)


def _changes_while_active(state: InitiativeState, fact: Fact, entry: AuditEntry) -> dict[str, Any]:
    if isinstance(fact, Announced | TakenBack):
        return {"notices": _notices(state.notices, fact, at=entry.instant)}
    if isinstance(fact, ComplaintWindowOpened):
        return {"complain_until": fact.until}
    due = reports.after(state.reports, fact, entry)
    if due is not None:
        # Suspended for a report that is waited for no more, or reinstated: all sides are asked to resume.
        is_finished = isinstance(fact, ReportAccepted | ReportWaived) and state.suspended_for == fact.number
        undone = {"complaint": fact.complaint} if isinstance(fact, Reinstated) else {}
        return {"reports": due} | undone | ({"to_resume": True} if is_finished or undone else {})
    tranches = shares.after(state.tranches, fact, entry)
    return {} if tranches is None else {"tranches": tranches}


def _replaced(
    items: tuple[Any, ...], number: int, update: Callable[[Any], dict[str, Any]]
) -> tuple[Any, ...]:
    return tuple(one.model_copy(update=update(one)) if one.number == number else one for one in items)


def _matter(
    state: InitiativeState, number: int, update: Callable[[Matter], dict[str, Any]]
) -> dict[str, Any]:
    return {"matters": _replaced(state.matters, number, update)}


def _corrected(matter: Matter, before: str, after: str) -> Matter:
    """An open matter on the corrected proposal: sign-offs stay, the sides' keys sign what now stands there."""
    if not matter.is_open or matter.content_hash != before:
        return matter
    return matter.model_copy(update={"content_hash": after, "countersigned": {}})


def _without(values: dict[str, V], key: str) -> dict[str, V]:
    return {k: v for k, v in values.items() if k != key}


def _next_step(matter: Matter, side: str) -> dict[str, Any]:
    """A silence that is broken is over; if the next step is silent beyond the deadline, that is told anew."""
    if side not in matter.escalated and matter.reminded.get(side, 0) < OVERDUE:
        return {}
    return {
        "escalated": _without(matter.escalated, side),
        "reminded": matter.reminded | {side: max(REMINDERS)},
    }


def _struck(matter: Matter, person: str | None) -> tuple[Counted, ...]:
    """The sign-offs with those of a person no longer standing."""
    return tuple(
        one.model_copy(update={"replaced": True}) if person is not None and one.person == person else one
        for one in matter.counted
    )


def _clock(
    matter: Matter, fact: MatterReminded | MatterEscalated | DeadlineExtended, at: datetime
) -> dict[str, Any]:
    side = fact.directorate
    match fact:
        case MatterReminded(percent=percent):
            return {"reminded": matter.reminded | {side: percent}}
        case MatterEscalated(to=to):
            return {
                "reminded": matter.reminded | {side: OVERDUE},
                "escalated": matter.escalated | ({side: to} if to else {}),
            }
        case DeadlineExtended(deadline=deadline, lapses_at=lapses_at):
            return {
                "deadlines": matter.deadlines | {side: deadline},
                "lapses_at": lapses_at,
                "clocks": matter.clocks | {side: at},
                "reminded": matter.reminded | {side: 0},
                "escalated": _without(matter.escalated, side),
            }


def _notices(notices: tuple[Notice, ...], fact: Announced | TakenBack, at: datetime) -> tuple[Notice, ...]:
    is_suspension = isinstance(fact, SuspensionAnnounced | SuspensionWithdrawn)
    kind = NoticeKind.SUSPENSION if is_suspension else NoticeKind.TERMINATION
    others = tuple(one for one in notices if (one.kind, one.directorate) != (kind, fact.directorate))
    if not isinstance(fact, Announced):
        return others
    announced = fact.model_dump(include={"directorate", "reasons", "effective_at"})
    return (*others, Notice(kind=kind, announced_at=at, **announced))


def _condition(
    state: InitiativeState, number: int, update: Callable[[Condition], dict[str, Any]]
) -> dict[str, Any]:
    return {"conditions": _replaced(state.conditions, number, update)}
