"""The steps that the workflow takes by itself: ``step(state, …)`` gives facts.

A step that was taken already, or that something else has overtaken, gives none: taking it again after a crash
changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from countersign.domain import funding, matter
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.budget import Lack
from countersign.domain.canonical import content_hash
from countersign.domain.commands import (
    ExaminedProposal,
)
from countersign.domain.decision import joint_decision
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import (
    ClosureCertified,
    ConditionsSet,
    EligibilityChecked,
    Happened,
    MatterDecided,
    MatterOpened,
    MatterVoided,
    NewCondition,
    PositionCountersigned,
    ReportAccepted,
    ReportReturned,
    ReportScheduled,
    ReportsScheduled,
    StageEntered,
    Submitted,
)
from countersign.domain.funding import DONE, FundingAgreements, Instruction, PaymentState, Tranche
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Matter, Outcome, Position
from countersign.domain.model import Model
from countersign.domain.papers import accepted_costs, closure_certificate, planned_tranches, subject_of
from countersign.domain.payment_facts import (
    CommitmentsDeferred,
    CommitmentsFixed,
    FundingAgreementsDrawnUp,
    PaymentBooked,
    TrancheFellDue,
    TrancheInstructed,
    TrancheReduced,
    TranchesPlanned,
)
from countersign.domain.reporting import ReportState
from countersign.domain.stage import (
    KEPT,
    NEVER_LAPSES,
    OPENS,
    PROMISED,
    Stage,
)

NEXT: dict[MatterKind, dict[Outcome, Stage]] = {
    MatterKind.CLEARANCE: {
        Outcome.APPROVED: Stage.DECISION,
        Outcome.RETURNED: Stage.REVISION,
        Outcome.REFUSED: Stage.INELIGIBLE,
        Outcome.LAPSED: Stage.LAPSED,
    },
    MatterKind.PROPOSAL: {
        Outcome.APPROVED: Stage.CONTRACTING,
        Outcome.APPROVED_WITH_CONDITIONS: Stage.CONDITIONS,
        Outcome.RETURNED: Stage.REVISION,
        Outcome.REFUSED: Stage.NOT_APPROVED,
        Outcome.LAPSED: Stage.LAPSED,
    },
    MatterKind.AGREEMENT: {
        Outcome.APPROVED: Stage.ACTIVE,
        Outcome.REFUSED: Stage.NOT_APPROVED,
        Outcome.LAPSED: Stage.LAPSED,
    },
    MatterKind.RESUMPTION: {Outcome.APPROVED: Stage.ACTIVE, Outcome.REFUSED: Stage.TERMINATED},
    MatterKind.CLOSURE: {Outcome.APPROVED: Stage.CLOSED},
    MatterKind.COMPLAINT: {Outcome.APPROVED: Stage.DECISION},
}
"""Where the outcome of a stage's matter leads. A returned (or, for the closure, refused) one is put anew; a resumption
only when somebody asks again.
"""


def opens_next(before: InitiativeState, after: InitiativeState) -> MatterKind | None:
    """The kind of the matter that the workflow's next step opens by itself, as far as what just happened tells."""
    if after.stage is Stage.SUBMITTED:
        return MatterKind.CLEARANCE
    if after.stage is Stage.SUSPENDED:
        return MatterKind.RESUMPTION if after.to_resume and not before.to_resume else None
    if after.stage is Stage.TERMINATED:
        return None  # an upheld complaint leads back to a suspension, which asks for the resumption then
    for was, one in zip(before.matters, after.matters, strict=False):
        if was.outcome is None and one.outcome is not None:
            if one.kind is MatterKind.REPORT:
                return MatterKind.CLOSURE if after.next_report() is None else None
            return OPENS.get(NEXT.get(one.kind, {}).get(one.outcome, Stage.ACTIVE))
    return None


class Deadlines(Model):
    """When each side is due and when silence ends the matter, as an activity counted the working days."""

    per_directorate: dict[str, datetime]
    lapses_at: datetime | None = None


def submitted(state: InitiativeState, examined: ExaminedProposal, content: str) -> list[Happened]:
    """The proposal arrived; its eligibility is established next."""
    if state.stage is not None:
        return []
    if examined.summary is None:
        raise RuleBroken("invalid", "; ".join(examined.faults))
    fact = Submitted(
        reference=state.reference,
        agreement=state.terms.agreement,
        agreement_version=state.terms.version,
        agreement_hash=state.terms.content_hash,
        summary=examined.summary,
        ineligibilities=examined.ineligibilities,
    )
    return [
        Happened(fact, actor=state.applicant.person, subject=content),
        Happened(StageEntered(stage=Stage.SUBMITTED, before=None)),
    ]


def eligibility(state: InitiativeState, version: int, deadlines: Deadlines) -> list[Happened]:
    """Check the agreement's automatic conditions; what passes is put before every side for clearance."""
    if state.stage not in (Stage.SUBMITTED, Stage.REVISION) or state.version != version:
        return []
    ineligibilities = state.ineligibilities
    checked = EligibilityChecked(version=version, faults=ineligibilities)
    happened = [
        Happened(StageEntered(stage=Stage.ELIGIBILITY, before=state.stage)),
        Happened(checked, subject=state.content_hash),
    ]
    if ineligibilities:
        reason = "; ".join(ineligibilities)
        ineligible = StageEntered(stage=Stage.INELIGIBLE, before=Stage.ELIGIBILITY, reason=reason)
        return [*happened, Happened(ineligible)]
    return [*happened, open_matter(state, MatterKind.CLEARANCE, deadlines)]


def enter(
    state: InitiativeState,
    before: Stage,
    stage: Stage,
    *,
    reason: str | None = None,
    deadline: datetime | None = None,
    deadlines: Deadlines | None = None,
    conditions_due: Mapping[str, datetime] | None = None,
    drawn_up: FundingAgreements | None = None,
) -> list[Happened]:
    """Go from one stage to the next, with the matter that the next one opens.

    Funding agreements that were drawn up from another version than the proposal has by now are of no use: then this
    gives nothing, and they are to be drawn up anew. Nor does the closing of what a payment came back of meanwhile.
    """
    if state.stage is not before or not _rests_on(state, drawn_up):
        return []
    if stage is Stage.CLOSED and not all_paid(state):
        return []
    is_reserved = state.reserved or before is Stage.CONTRACTING
    entered = StageEntered(
        stage=stage,
        before=before,
        reason=reason,
        deadline=deadline,
        keeps_money=True if is_reserved and (before, stage) in KEPT else None,
    )
    happened = [Happened(entered)]
    if stage in PROMISED:
        happened += _reserve(state)
    if stage is Stage.CONTRACTING:
        happened += _draw_up(state, drawn_up)
    if stage is Stage.CLOSED:
        happened.append(Happened(ClosureCertified(), subject=content_hash(closure_certificate(state))))
    if stage is Stage.CONDITIONS:
        happened.append(_conditions_set(state, conditions_due or {}))
    happened = [*void_open(state, reason or "overtaken"), *happened]
    if stage in OPENS and deadlines is not None:
        happened.append(open_matter(state, OPENS[stage], deadlines, drawn_up))
    return happened


def next_edition(state: InitiativeState) -> int:
    """The edition of the funding agreements that are drawn up next; no two are of one number, in force or not."""
    current = state.funding_agreements.edition if state.funding_agreements else 0
    return max([current, *(one.edition for one in state.amendments)]) + 1


def _rests_on(state: InitiativeState, drawn_up: FundingAgreements | None) -> bool:
    return drawn_up is None or (drawn_up.version, drawn_up.edition) == (state.version, next_edition(state))


def _conditions_set(state: InitiativeState, due: Mapping[str, datetime]) -> Happened:
    """The union of every side's conditions, each due in the working days of the side that set it."""
    decided = state.last_matter(MatterKind.PROPOSAL)
    positions = decided.positions if decided else {}
    sides = [
        side for side in state.terms.sides if side in positions
    ]  # not in the order in which they came in
    texts = [(side, text) for side in sides for text in positions[side].conditions]
    conditions = tuple(
        NewCondition(number=number, directorate=side, text=text, deadline=due[side])
        for number, (side, text) in enumerate(texts, 1)
    )
    return Happened(ConditionsSet(conditions=conditions), subject=state.content_hash)


def countersigned(
    state: InitiativeState, number: int, position: Position, content: str, jws: str
) -> list[Happened]:
    """A side's position is signed with its key; with the last one the matter is decided.

    A position (or the content that it is on) that changed while it was being signed is signed anew: this signature is
    of no use then.
    """
    before, side = state.matter(number), position.directorate
    if before is None or not before.is_open or side in before.countersigned:
        return []
    if before.positions.get(side) != position or before.content_hash != content:
        return []
    subject = before.content_hash
    happened = [Happened(PositionCountersigned(matter=number, directorate=side, jws=jws), subject=subject)]
    signatures = before.countersigned | {side: jws}
    responses = {one: stance.response for one, stance in before.positions.items() if one in signatures}
    outcome = matter.outcome(tuple(before.chains), responses)
    if outcome is not None:
        decision = content_hash(joint_decision(state, before, signatures, outcome))
        decided = MatterDecided(matter=number, outcome=outcome, decision=decision)
        happened.append(Happened(decided, subject=subject))
        happened += _consequences(state, before, outcome)
    return happened


def reopen(state: InitiativeState, before: Stage, returned: int, deadlines: Deadlines) -> list[Happened]:
    """Put a stage's matter before every side anew, after it was returned, unless that was done or overtaken."""
    old = state.matter(returned)
    if old is None or state.stage is not before or state.last_matter(old.kind) is not old:
        return []
    if old.outcome is None or old.outcome in NEXT[old.kind]:
        return []
    return [open_matter(state, old.kind, deadlines)]


def open_matter(
    state: InitiativeState,
    kind: MatterKind,
    deadlines: Deadlines,
    drawn_up: FundingAgreements | None = None,
) -> Happened:
    """Put something before every directorate."""
    about, content = subject_of(state, kind, drawn_up)
    return opened(state, kind, about, content, deadlines, len(state.matters) + 1)


def opened(
    state: InitiativeState, kind: MatterKind, about: str, content: str, deadlines: Deadlines, number: int
) -> Happened:
    """Something is put before every directorate, with the steps of its chains that apply."""
    requested = state.proposal.requested
    fact = MatterOpened(
        number=number,
        kind=kind,
        about=about,
        chains={
            side: matter.applicable(chain, requested.get(side, ()))
            for side, chain in state.terms.chains[kind].items()
        },
        deadlines=deadlines.per_directorate,
        lapses_at=None if kind in NEVER_LAPSES else deadlines.lapses_at,
    )
    return Happened(fact, subject=content)


def void_open(state: InitiativeState, reason: str) -> list[Happened]:
    """End every open matter without an outcome: something overtook it."""
    return [
        Happened(MatterVoided(matter=one.number, reason=reason), subject=one.content_hash)
        for one in state.matters
        if one.is_open
    ]


def _reserve(state: InitiativeState) -> list[Happened]:
    """The commitment of each side as the joint decision fixed it, unless just that is reserved already."""
    commitments = dict(state.proposal.requested)
    if state.reserved and state.commitments == commitments:
        return []
    return [Happened(CommitmentsFixed(commitments=commitments), subject=state.content_hash)]


def defer(state: InitiativeState, before: Stage, lacking: tuple[Lack, ...]) -> list[Happened]:
    """Too little money is left for what was approved: say so, unless just that was said."""
    if state.stage is not before or (state.deferral and state.deferral.lacking == lacking):
        return []
    return [Happened(CommitmentsDeferred(lacking=lacking), subject=state.content_hash)]


def renew(state: InitiativeState, deadlines: Deadlines) -> list[Happened]:
    """The approvals ran out before there was money: the proposal is put before every side anew."""
    if state.stage is not Stage.DECISION or state.deferral is None:
        return []
    return [open_matter(state, MatterKind.PROPOSAL, deadlines)]


def _draw_up(state: InitiativeState, drawn_up: FundingAgreements | None) -> list[Happened]:
    """The tranches of each side's commitment, and its funding agreement."""
    happened = [Happened(TranchesPlanned(tranches=planned_tranches(state)))]
    if drawn_up is not None:
        fact = FundingAgreementsDrawnUp(**drawn_up.model_dump())
        happened.append(Happened(fact, subject=state.content_hash))
    return happened


def activate(state: InitiativeState, schedule: tuple[ReportScheduled, ...]) -> list[Happened]:
    """Both funding agreements are signed: reports are scheduled and the first tranche falls due."""
    if state.stage is not Stage.CONTRACTING:
        return []
    first = [one for one in state.tranches if one.trigger == "signature"]
    return [
        Happened(StageEntered(stage=Stage.ACTIVE, before=state.stage)),
        Happened(ReportsScheduled(reports=schedule)),
        *(Happened(TrancheFellDue(number=one.number)) for one in first),
    ]


def released(state: InitiativeState) -> tuple[Tranche, ...]:
    """The tranches of which a side's bank is to be told now; none while an earlier one is paid by some sides only.

    What all sides had let go before a suspension goes on; what was held back then stays so until it is resumed, and
    after a termination for good.
    """
    since = (state.stopped_since or state.stage_since) if state.stage in _STOPPED else None
    return tuple(
        one
        for one in state.tranches
        if one.is_authorised and not funding.is_held_back(one, state.tranches, since)
    )


_STOPPED = (Stage.SUSPENDED, Stage.TERMINATED)


def to_instruct(state: InitiativeState, tranche: Tranche) -> dict[str, tuple[Instruction, ...]]:
    """What each side's bank is to be told now of a tranche."""
    side_of, asked = state.proposal.partners, state.proposal.asked or {}
    return {
        side: funding.instructions(
            state.id,
            tranche,
            side,
            {partner: amounts for partner, amounts in asked.items() if side_of.get(partner) == side},
        )
        for side in tranche.to_instruct
    }


def instructed(
    state: InitiativeState,
    number: int,
    told: Mapping[str, tuple[Instruction, ...]],
    booked: Mapping[str, str] | None = None,
) -> list[Happened]:
    """Those sides' banks were told to pay their part of a tranche, under those end-to-end ids.

    ``booked`` are those that a bank answered at once, with its reference.

    Whatever became of the other sides' parts meanwhile: a bank that was told cannot be untold.
    """
    tranche = state.tranche(number)
    if tranche is None or not told or not set(told) <= set(tranche.to_instruct):
        return []
    answers = [
        PaymentBooked(
            number=number,
            directorate=side,
            end_to_end_id=one.end_to_end_id,
            amount=one.amount,
            bank_reference=booked[one.end_to_end_id],
        )
        for side, some in told.items()
        for one in some
        if booked and one.end_to_end_id in booked
    ]
    return [
        Happened(TrancheInstructed(number=number, instructions=dict(told))),
        *(Happened(one) for one in answers),
    ]


def release_closing_tranche(state: InitiativeState) -> list[Happened]:
    """The closure is signed: what accepted costs leave to pay of the last tranche falls due."""
    last = next((one for one in state.tranches if one.trigger == "closure"), None)
    if last is None or any(share.unheld is not PaymentState.PLANNED for share in last.shares.values()):
        return []
    happened: list[Happened] = []
    left = 0
    for side, share in last.shares.items():
        payable = tuple(one for one in (_payable(state, side, a) for a in share.amounts) if one.minor)
        left += len(payable)
        if payable != share.amounts:
            happened.append(Happened(TrancheReduced(number=last.number, directorate=side, amounts=payable)))
    return [*happened, Happened(TrancheFellDue(number=last.number))] if left else happened


def all_paid(state: InitiativeState) -> bool:
    """Whether nothing that is due is left to pay or to come back, and nothing is held."""
    done = {PaymentState.PLANNED, *DONE}
    return all(share.state in done for one in state.tranches for share in one.shares.values())


def is_carried_out(state: InitiativeState) -> bool:
    """Whether nothing but the closing is left: no payment is under way, and no amendment is open."""
    return all_paid(state) and state.open_amendment is None


def _payable(state: InitiativeState, side: str, planned: Amount) -> Amount:
    """At most what is planned, and never more in all than the costs that were accepted.

    Whatever was let go towards a bank counts as paid, whether or not somebody has confirmed it.
    """
    let_go = sum(
        amount.minor
        for tranche in state.tranches
        if not tranche.is_recovery
        for whose, share in tranche.shares.items()
        for amount in share.amounts
        if whose == side and amount.unit == planned.unit and share.unheld is not PaymentState.PLANNED
    )
    accepted = accepted_costs(state, side, planned.unit)
    return Amount(max(0, min(planned.minor, accepted - let_go)), planned.unit)


def _consequences(state: InitiativeState, decided: Matter, outcome: Outcome) -> list[Happened]:
    """What follows at once from a decision; moves between stages follow in the workflow's next step."""
    if decided.kind is MatterKind.REPORT:
        report = next(one for one in state.reports if one.state is ReportState.SUBMITTED)
        if outcome is not Outcome.APPROVED:
            reasons = {side: p.reasons for side, p in decided.positions.items() if p.reasons}
            returned = ReportReturned(number=report.number, reasons=reasons)
            return [Happened(returned, subject=decided.content_hash)]
        accepted = Happened(ReportAccepted(number=report.number), subject=decided.content_hash)
        if state.stage is Stage.TERMINATED:
            return [accepted]  # nothing more is paid
        return [accepted, *released_by_report(state, report.number)]
    return []


def released_by_report(state: InitiativeState, number: int) -> list[Happened]:
    """What falls due as a report is accepted, or done without."""
    due = [one for one in state.tranches if one.trigger == "report" and one.report == number]
    return [Happened(TrancheFellDue(number=one.number)) for one in due]
