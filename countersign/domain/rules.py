"""What happens when a message comes: ``receive(state, command, now)`` gives facts, or breaks a rule.

:func:`receive` is the table of messages; what follows it is one rule a message, those on payments in
:mod:`paying`, on amendments in :mod:`amending`, on complaints in :mod:`complaining`.
"""

from __future__ import annotations

from datetime import datetime

from countersign.domain import amending, complaining, ending, matter, paying, suspension, waiving
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import LARGEST
from countersign.domain.commands import (
    AdoptAgreement,
    AnyCommand,
    AskAmendment,
    AskResumption,
    AuthoriseTranche,
    ClearCondition,
    Command,
    Complain,
    ConfirmTranche,
    DeclareConflict,
    DisallowCosts,
    ExaminedAmendment,
    ExaminedProposal,
    ExaminedReport,
    ExtendDeadline,
    GiveEvidence,
    HoldTranche,
    MandatesGiven,
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
    fingerprint,
    kind_of,
)
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import (
    ConditionCleared,
    ConflictDeclared,
    DeadlineExtended,
    EvidenceGiven,
    EvidenceRefused,
    Happened,
    MessageRefused,
    PositionReached,
    PositionWithdrawn,
    ProposalCorrected,
    ProposalRevised,
    ReportSubmitted,
    SignedOff,
    SignOffStruck,
    StageEntered,
    Withdrawn,
)
from countersign.domain.ground_rules import by_applicant, in_stage, said, told, without_part
from countersign.domain.initiative import Condition, InitiativeState
from countersign.domain.matter import Counted, Matter, SignOff
from countersign.domain.papers import accepted_costs
from countersign.domain.proposal import ProposalSummary
from countersign.domain.stage import (
    BEFORE_ACTIVE,
    Stage,
)
from countersign.domain.steps import Deadlines, opened, void_open

LONGEST_DETAIL = 1000
"""Characters of a refusal's detail: it travels in the state for as long as the initiative lives."""


REFUSALS = 200
"""Refused messages that are taken from one person; beyond that they are turned away without a trace in the state."""


EVIDENCE = 10
"""Pieces of evidence for one condition that wait to be looked at."""


NO_MANDATES = MandatesGiven()


Examined = ExaminedProposal | ExaminedReport | ExaminedAmendment | None


def receive(
    state: InitiativeState,
    command: AnyCommand,
    now: datetime,
    *,
    examined: Examined = None,
    deadlines: Deadlines | None = None,
    mandates: MandatesGiven = NO_MANDATES,
) -> list[Happened]:
    """The facts that a message brings about.

    Raises:
        RuleBroken: when the message does not count; :func:`refused` makes the fact of it.
    """
    match command:
        case SignOff():
            return _sign_off(state, command, now, mandates)
        case ExtendDeadline():
            return _extend(state, command, deadlines)
        case DeclareConflict():
            return _declare_conflict(state, command)
        case Withdraw():
            return _withdraw(state, command)
        case Revise():
            return _revise(state, command, examined)
        case GiveEvidence():
            return _give_evidence(state, command)
        case ClearCondition():
            return _clear_condition(state, command)
        case RefuseEvidence():
            return _refuse_evidence(state, command)
        case Complain():
            return complaining.complain(state, command, now, deadlines)
        case AuthoriseTranche() | ConfirmTranche() | HoldTranche() | ResumeTranche() | ReportPayment():
            return paying.receive(state, command, now, mandates)
        case WaiveReport():
            return waiving.waive(state, command)
        case Suspend() | Terminate() | TakeBackNotice() | AskResumption():
            return suspension.receive(state, command, now, deadlines)
        case DisallowCosts() | WriteOff():
            return ending.receive(state, command)
        case SubmitReport():
            return _submit_report(state, command, now, examined, deadlines)
        case AskAmendment() | AdoptAgreement():
            found = examined if isinstance(examined, ExaminedAmendment) else None
            return amending.ask(state, command, now, found, deadlines)


def refused(command: AnyCommand | Command, broken: RuleBroken) -> Happened:
    """The fact that a message did not count."""
    subject = getattr(command, "content_hash", None)
    return said(
        command,
        MessageRefused(
            message=kind_of(command),
            code=broken.code,
            detail=broken.detail[:LONGEST_DETAIL],
            fingerprint=fingerprint(command),
        ),
        subject=subject,
    )


def _sign_off(
    state: InitiativeState, command: SignOff, now: datetime, mandates: MandatesGiven
) -> list[Happened]:
    before = state.matter(command.matter)
    if before is None:
        raise RuleBroken("not_found", f"there is no matter {command.matter}")
    requested = state.requested_in(before).get(command.caller.directorate or "", ())
    counted = matter.count(
        before, command, state.barred, now, mandates=mandates.mandates, requested=requested
    )
    replaced = matter.replaced_by(before, counted)
    signed = SignedOff(
        **counted.model_dump(exclude={"person", "on_behalf_of", "at", "replaced"}),
        matter=before.number,
        replaces=replaced.person if replaced else None,
        fingerprint=fingerprint(command),
    )
    happened = [said(command, signed, subject=before.content_hash, on_behalf_of=command.on_behalf_of)]
    standing = tuple(one for one in before.standing if one is not replaced)
    return happened + _position_changes(state, before, counted.directorate, (*standing, counted))


def _position_changes(
    state: InitiativeState, before: Matter, side: str, standing: tuple[Counted, ...]
) -> list[Happened]:
    """What follows for a side's position from the sign-offs that stand now."""
    subject = before.content_hash
    position = matter.position(before, side, standing)
    if position is None:
        if side not in before.positions:
            return []
        withdrawn = PositionWithdrawn(matter=before.number, directorate=side)
        return [Happened(withdrawn, subject=subject)]
    return [Happened(PositionReached(matter=before.number, position=position), subject=subject)]


def _extend(state: InitiativeState, command: ExtendDeadline, deadlines: Deadlines | None) -> list[Happened]:
    side = command.caller.directorate or ""
    before = state.matter(command.matter)
    if side not in state.terms.sides or state.terms.sides[side].head not in command.caller.offices:
        raise RuleBroken(
            "not_your_office", "a side's deadlines are extended by the office that speaks for it"
        )
    without_part(state, command.caller)
    if before is None or side not in before.chains:
        raise RuleBroken("not_found", f"there is no matter {command.matter}")
    if not before.is_open or side in before.positions:
        raise RuleBroken("matter_closed", "there is nothing that your side is waited for")
    if deadlines is None:
        raise RuleBroken("invalid", "the new deadline could not be counted")
    lapses_at = before.lapses_at
    if lapses_at is not None and deadlines.lapses_at is not None:
        lapses_at = max(lapses_at, deadlines.lapses_at)
    fact = DeadlineExtended(
        matter=before.number,
        directorate=side,
        deadline=deadlines.per_directorate[side],
        lapses_at=lapses_at,
        reasons=command.reasons,
        fingerprint=fingerprint(command),
    )
    return [said(command, fact, subject=before.content_hash)]


def _declare_conflict(state: InitiativeState, command: DeclareConflict) -> list[Happened]:
    if command.caller.directorate is None:
        raise RuleBroken("forbidden", "those who decide declare their interests")
    person = command.caller.person
    if person in state.conflicted:
        raise RuleBroken("out_of_order", "you declared it already")
    declared = ConflictDeclared(reasons=command.reasons, fingerprint=fingerprint(command))
    happened = [said(command, declared, subject=state.content_hash)]
    for one in state.matters:
        if one.is_open and any(person in signed.people for signed in one.standing):
            own = next(signed for signed in one.standing if person in signed.people)
            struck = SignOffStruck(matter=one.number, person=own.person)
            happened.append(Happened(struck, subject=one.content_hash))
            standing = tuple(signed for signed in one.standing if signed is not own)
            happened += _position_changes(state, one, own.directorate, standing)
    return happened


def _withdraw(state: InitiativeState, command: Withdraw) -> list[Happened]:
    by_applicant(state, command.caller)
    in_stage(state, *BEFORE_ACTIVE)
    withdrawn = Withdrawn(reasons=command.reasons, fingerprint=fingerprint(command))
    return [
        said(command, withdrawn, subject=state.content_hash),
        *void_open(state, "the applicant withdrew"),
        Happened(StageEntered(stage=Stage.WITHDRAWN, before=state.stage, reason="the applicant withdrew")),
    ]


def _revise(state: InitiativeState, command: Revise, examined: Examined) -> list[Happened]:
    by_applicant(state, command.caller)
    in_stage(state, Stage.REVISION, Stage.ELIGIBILITY, Stage.DECISION)
    if command.replaces != state.content_hash:
        raise RuleBroken("precondition_failed", f"the current version is {state.content_hash}")
    if command.content_hash == state.content_hash:
        raise RuleBroken("invalid", "the new version is the same as the one that it replaces")
    if not isinstance(examined, ExaminedProposal) or examined.summary is None:
        raise RuleBroken("invalid", told(examined))
    if state.stage is not Stage.REVISION:
        return [_correct(state, command, examined, examined.summary)]
    revised = ProposalRevised(
        version=state.version + 1,
        summary=examined.summary,
        changed=examined.changed,
        ineligibilities=examined.ineligibilities,
        fingerprint=fingerprint(command),
    )
    return [said(command, revised, subject=command.content_hash)]


def _correct(
    state: InitiativeState, command: Revise, examined: ExaminedProposal, summary: ProposalSummary
) -> Happened:
    """An administrative edit while the proposal is before the directorates; a substantive one waits for a return."""
    if not examined.administrative:
        raise RuleBroken(
            "stage_closed", "only names' typing errors and contact details change while it is decided on"
        )
    signed = {one.person for m in state.matters if m.is_open for one in m.standing}
    if set(summary.people) - set(state.proposal.people) and signed:
        # Somebody who takes part now may have signed: that is for the directorates to see, not for a correction.
        raise RuleBroken("stage_closed", "who takes part cannot change once somebody has signed")
    corrected = ProposalCorrected(
        version=state.version + 1, summary=summary, changed=examined.changed, fingerprint=fingerprint(command)
    )
    return said(command, corrected, subject=command.content_hash)


def _give_evidence(state: InitiativeState, command: GiveEvidence) -> list[Happened]:
    by_applicant(state, command.caller)
    in_stage(state, Stage.CONDITIONS)
    condition = _condition(state, command.condition)
    if condition.cleared_by is not None:
        raise RuleBroken("out_of_order", "the condition is cleared already")
    if len(condition.evidence) + len(condition.refused) >= EVIDENCE:
        raise RuleBroken("too_large", f"a condition takes {EVIDENCE} pieces of evidence at the most")
    given = EvidenceGiven(number=condition.number, text=command.text, fingerprint=fingerprint(command))
    return [said(command, given, subject=state.content_hash)]


def _clear_condition(state: InitiativeState, command: ClearCondition) -> list[Happened]:
    office = _setters_office(state, command, command.condition)
    cleared = ConditionCleared(number=command.condition, office=office, fingerprint=fingerprint(command))
    return [said(command, cleared, subject=state.content_hash)]


def _refuse_evidence(state: InitiativeState, command: RefuseEvidence) -> list[Happened]:
    office = _setters_office(state, command, command.condition)
    refusal = EvidenceRefused(
        number=command.condition, office=office, reasons=command.reasons, fingerprint=fingerprint(command)
    )
    return [said(command, refusal, subject=state.content_hash)]


def _setters_office(state: InitiativeState, command: Command, number: int) -> str:
    """The office by which the caller may answer the evidence for a condition: one of the side that set it."""
    in_stage(state, Stage.CONDITIONS)
    condition = _condition(state, number)
    decided = state.last_matter(MatterKind.PROPOSAL)
    chain = decided.chains.get(condition.directorate, ()) if decided else ()
    held = [step.office for step in chain if step.office in command.caller.offices]
    if command.caller.directorate != condition.directorate or not held:
        raise RuleBroken("not_your_office", f"{condition.directorate!r} set this condition and clears it")
    without_part(state, command.caller)
    if condition.cleared_by is not None:
        raise RuleBroken("out_of_order", "the condition is cleared already")
    if not condition.evidence:
        raise RuleBroken("out_of_order", "there is no evidence yet")
    return held[-1]


def _condition(state: InitiativeState, number: int) -> Condition:
    found = next((one for one in state.conditions if one.number == number), None)
    if found is None:
        raise RuleBroken("not_found", f"there is no condition {number}")
    return found


def _submit_report(
    state: InitiativeState,
    command: SubmitReport,
    now: datetime,
    examined: Examined,
    deadlines: Deadlines | None,
) -> list[Happened]:
    by_applicant(state, command.caller)
    report = state.report(command.report)
    if not ending.awaits_accounts(state, now):
        in_stage(state, Stage.ACTIVE, Stage.SUSPENDED)
    if report is None:
        raise RuleBroken("not_found", f"there is no report {command.report}")
    if now < report.ends_at:
        raise RuleBroken("not_due", f"the period ends at {report.ends_at.isoformat()}")
    if state.next_report() is not report:
        raise RuleBroken("out_of_order", "an earlier report is not accepted yet, or this one is")
    if not report.is_open:
        raise RuleBroken("out_of_order", f"the report is {report.state}")
    if not isinstance(examined, ExaminedReport) or examined.faults or deadlines is None:
        raise RuleBroken("invalid", told(examined))
    for side, amounts in examined.costs.items():
        for amount in amounts:
            if accepted_costs(state, side, amount.unit) + amount.minor > LARGEST:
                raise RuleBroken("invalid", f"the costs of all reports would exceed {LARGEST} minor units")
    submitted = ReportSubmitted(
        number=report.number,
        version=report.version + 1,
        costs=examined.costs,
        by_partner=examined.by_partner,
        fingerprint=fingerprint(command),
    )
    about = f"report {report.number} version {report.version + 1}"
    return [
        said(command, submitted, subject=command.content_hash),
        opened(state, MatterKind.REPORT, about, command.content_hash, deadlines, len(state.matters) + 1),
    ]
