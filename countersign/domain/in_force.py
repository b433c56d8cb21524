"""What follows from the version in force: report periods, tranches, commitments (DESIGN section 6).

All of it is derived from the state and the version's summary: what was reported and what was let go stays, the rest is
made anew. An amendment takes effect, or comes to nothing, by :func:`settle`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from countersign.domain import funding, schedule
from countersign.domain.agreement import Terms
from countersign.domain.amendment import Amendment, DueDate, Weight
from countersign.domain.amounts import Amount, split
from countersign.domain.budget import Lack
from countersign.domain.canonical import content_hash
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import (
    AmendmentMade,
    AmendmentNotified,
    AmendmentRejected,
    Happened,
    ReportScheduled,
)
from countersign.domain.funding import Planned, Share, Tranche
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Matter, Outcome
from countersign.domain.papers import amendment_document
from countersign.domain.payment_facts import FundingAgreementsDrawnUp
from countersign.domain.proposal import ProposalSummary
from countersign.domain.reporting import FINISHED
from countersign.domain.reports import scheduled
from countersign.domain.schedule import Period
from countersign.domain.stage import Stage

AMENDABLE: Final = frozenset({Stage.ACTIVE, Stage.SUSPENDED})
"""The stages in which an amendment that every side approved can still take effect."""

Payees = dict[str, tuple[Amount, ...]]


class Version(NamedTuple):
    """What is to be in force: a version of the proposal, under a version of the programme agreement."""

    summary: ProposalSummary
    terms: Terms


class Follows(NamedTuple):
    """What a version brings with it."""

    reports: tuple[ReportScheduled, ...]
    tranches: tuple[Tranche, ...]


def version_of(state: InitiativeState, amendment: Amendment) -> Version:
    """What would be in force if the amendment took effect."""
    return Version(amendment.summary or state.proposal, amendment.terms or state.terms)


def follows(state: InitiativeState, version: Version, due: tuple[DueDate, ...], now: datetime) -> Follows:
    """The reports and tranches that there are once this version is in force.

    Raises:
        RuleBroken: ``invalid``, when it would undo what was reported, let go or shown to have been spent.
    """
    reports = rescheduled(state, version, {one.ends_at: one.due_at for one in due}, now)
    _keep_partners(state, version.summary)
    return Follows(reports, _tranches(state, version, schedule.releasing(reports)))


# ---- reports


def is_rescheduled(state: InitiativeState, version: Version) -> bool:
    """Whether a version moves reports: by its duration or milestones, the agreement's rules, or its lead's calendar."""
    return _dates_by(version) != _dates_by(Version(state.proposal, state.terms))


def _dates_by(version: Version) -> tuple[object, ...]:
    summary, terms = version
    rules = (terms.reporting.period_months, terms.reporting.progress_every, terms.reporting.financial_every)
    calendar = terms.sides[summary.lead_directorate].calendar
    return (summary.duration_months, summary.milestones, *rules, terms.deadlines.report, calendar)


def periods(state: InitiativeState, version: Version) -> tuple[Period, ...]:
    """What a version's reports are on, counted from the day on which the initiative became active."""
    start, summary = state.reports[0].starts_at, version.summary
    return schedule.periods(start, summary.duration_months, version.terms.reporting, summary.milestones)


def rescheduled(
    state: InitiativeState, version: Version, due: Mapping[datetime, datetime], now: datetime
) -> tuple[ReportScheduled, ...]:
    """The reports under a version: those that have come stay, the later ones are cut anew.

    A period on which a new report would be late already is reported with the next one: nobody is late, and nothing is
    suspended, over what was not asked for in its time.

    Raises:
        RuleBroken: ``invalid``, when it would end before now, leave no report to come, or name a milestone in the past.
    """
    if not is_rescheduled(state, version):
        return tuple(map(scheduled, state.reports))
    planned = periods(state, version)
    end = planned[-1].ends_at
    kept = [one for one in state.reports if one.version or not one.is_open]
    reported = max((one.ends_at for one in kept if one.milestone is None), default=planned[0].starts_at)
    if end <= now:
        raise RuleBroken("invalid", f"it would end at {end.isoformat()}, and that is past already")
    if end <= reported:
        # A period is waived before it ends, too. The accounts rest on a final report that is still to come.
        raise RuleBroken("invalid", f"its reports up to {reported.isoformat()} have come or are waived")
    known = {(one.milestone, one.ends_at): one.due_at for one in state.reports}
    told = {one.milestone for one in kept}
    again = list(map(scheduled, kept))
    for one in planned:
        if (one.milestone is None and one.ends_at <= reported) or one.milestone in told - {None}:
            continue
        is_new = (one.milestone, one.ends_at) not in known
        if one.milestone is not None and is_new and one.ends_at <= now:
            raise RuleBroken("invalid", f"the month of milestone {one.milestone!r} is past already")
        if one.milestone is None and is_new and due[one.ends_at] <= now and not one.final:
            continue
        earlier = [other.ends_at for other in again if other.milestone is None]
        since = max((end for end in earlier if end < one.ends_at), default=planned[0].starts_at)
        due_at = due[one.ends_at]
        if due_at <= now:
            # Less time for reports makes nobody late today.
            due_at = max(due_at, known.get((one.milestone, one.ends_at), due_at))
        moved = {"number": len(again) + 1, "starts_at": since, "due_at": due_at}
        again.append(ReportScheduled(**one.model_dump() | moved))
    last = len(again)
    return tuple(one.model_copy(update={"final": one.number == last}) for one in again)


# ---- tranches


class _Part(NamedTuple):
    """One side's part of a tranche that nobody let go yet: it can still become another."""

    place: Planned
    share: Share


def _tranches(state: InitiativeState, version: Version, releasing: tuple[int, ...]) -> tuple[Tranche, ...]:
    """The tranches under a version: what was let go stays, the rest of each commitment is spread over the others.

    ``releasing`` are the numbers of the reports that release one.

    Raises:
        RuleBroken: ``invalid``, when less is asked for than was let go.
    """
    # Whatever was let go belongs to a report that has come, or to none: every plan that goes on has a place for it.
    shape = funding.shape(version.terms.tranches, releasing)
    known = {_place(one): one for one in state.tranches}
    shares: dict[int, dict[str, Share]] = {one.number: {} for one in shape}
    for side in state.terms.sides:
        fixed = [one for one in state.tranches if side in one.shares and one.shares[side].is_let_go]
        payees, remaining = _payees(state, version.summary, side, fixed)
        for tranche in fixed:
            shares[tranche.number][side] = _told_later(tranche.shares[side], payees)
        free = [
            _Part(place, share)
            for place in shape
            for share in _free(state, known.get(_place(place)), place, side)
        ]
        amounts = _spread(state, version, side, len(releasing), fixed, free)
        for part, some in zip(free, amounts, strict=True):
            if some:
                renewed = part.share.model_copy(update={"amounts": some})
                shares[part.place.number][side] = (
                    renewed if remaining is None else renewed.model_copy(update={"payees": remaining})
                )
    planned: list[Tranche] = []
    for place in shape:
        parts = shares[place.number]
        before = known.get(_place(place)) or Tranche(
            number=place.number, trigger=place.trigger, report=place.report
        )
        if parts:
            in_order = {side: parts[side] for side in state.terms.sides if side in parts}
            at = {"number": place.number, "report": place.report}
            planned.append(before.model_copy(update={**at, "shares": in_order}))
    return tuple(planned)


def _place(tranche: Tranche | Planned) -> tuple[str, int | None]:
    """Where a tranche has its place in any plan: those on reports follow each other, whatever these are numbered."""
    return tranche.trigger, tranche.number if tranche.trigger == "report" else None


def _told_later(share: Share, payees: Payees | None) -> Share:
    """A part that was let go. Whom it pays, if its bank does not know yet, is what was let go, whatever changes now."""
    if payees is None or share.instructions or share.payees is not None:
        return share
    return share.model_copy(update={"payees": payees})


def _free(state: InitiativeState, tranche: Tranche | None, place: Planned, side: str) -> Iterator[Share]:
    """The side's part at a place of the plan if it is still to be let go; a new one where its time has not come."""
    share = tranche.shares.get(side) if tranche is not None else None
    if share is not None:
        if not share.is_let_go:
            yield share
        return
    report = state.report(place.report) if place.report else None
    has_passed = place.trigger == "signature" or (report is not None and report.state in FINISHED)
    if not has_passed:
        yield Share(amounts=())


def _spread(
    state: InitiativeState,
    version: Version,
    side: str,
    interim: int,
    fixed: list[Tranche],
    free: list[_Part],
) -> list[tuple[Amount, ...]]:
    """What each free part of a side comes to, exact in the sum.

    Where neither the plan nor what is asked for changes, they stay as they are: they are not split anew.
    """
    let_go = _sums(one.shares[side] for one in fixed)
    asked = {one.unit: one for one in version.summary.requested.get(side, ())}
    is_same_plan = (interim, version.terms.tranches) == (
        len(schedule.releasing(state.reports)),
        state.terms.tranches,
    )
    before = {one.unit: one for one in state.proposal.requested.get(side, ())}
    for unit, minor in let_go.items():
        if minor > (asked[unit].minor if unit in asked else 0):
            least = Amount(minor, unit)
            raise RuleBroken("invalid", f"{least} of {side!r} were let go already: no less can be asked for")
    parts: list[list[Amount]] = [[] for _ in free]
    for unit, amount in asked.items():
        if is_same_plan and amount == before.get(unit):
            some = [next((a for a in part.share.amounts if a.unit == unit), Amount(0, unit)) for part in free]
        else:
            weights = [part.place.weight for part in free]
            if not any(weights):
                weights[-1] = 1  # the plan has nothing for what is left: it is paid on closure
            some = list(split(Amount(amount.minor - let_go[unit], unit), weights))
        for mine, one in zip(parts, some, strict=True):
            mine.append(one)
    return [tuple(one for one in mine if one.minor) for mine in parts]


def _sums(shares: Iterable[Share]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for share in shares:
        for amount in share.amounts:
            sums[amount.unit] += amount.minor
    return sums


# ---- partners


def _keep_partners(state: InitiativeState, summary: ProposalSummary) -> None:
    """Refuse to leave out a partner of whom an account stands in a report, or to make one another side's."""
    claimed = {one for report in state.reports for one, some in (report.by_partner or {}).items() if some}
    for partner, side in state.proposal.partners.items():
        if partner in claimed and summary.partners.get(partner) != side:
            raise RuleBroken("invalid", f"partner {partner!r} has reported costs and stays where it is")


def _payees(
    state: InitiativeState, summary: ProposalSummary, side: str, fixed: list[Tranche]
) -> tuple[Payees | None, Payees | None]:
    """By whom the side's partners are paid what was let go, and what is still to be.

    None where nothing about that changes, or where partners are not paid one by one.

    Raises:
        RuleBroken: ``invalid``, when a partner would not keep what was let go to it.
    """
    was, will = _of_side(state.proposal, side), _of_side(summary, side)
    if was is None or will is None:
        return None, None
    got: Counter[tuple[str, str]] = Counter()
    for tranche in fixed:
        told = tranche.shares[side].current or funding.instructions(state.id, tranche, side, was)
        for one in told:
            if one.partner is not None:
                got[one.partner, one.amount.unit] += one.amount.minor
    for (partner, unit), minor in got.items():
        asks, asked = _in_unit(will, partner, unit), _in_unit(was, partner, unit)
        # By the rounding of each payment it may have got a little more than it ever asked for: that is no reason.
        if asks < min(minor, asked):
            kept = Amount(minor, unit)
            raise RuleBroken("invalid", f"{kept} were let go to partner {partner!r}: it stays, with no less")
    shares = [one.shares[side] for one in state.tranches if side in one.shares]
    if was == will and all(one.payees is None for one in shares):
        return None, None
    return was, _still_to_get(will, got)


def _still_to_get(will: Payees, got: Mapping[tuple[str, str], int]) -> Payees:
    """What each partner is still to get; of a unit in which all of them have theirs, what they ask for."""
    left = {
        (partner, one.unit): max(0, one.minor - got.get((partner, one.unit), 0))
        for partner, amounts in will.items()
        for one in amounts
    }
    open_units = {unit for (_, unit), minor in left.items() if minor}
    return {
        partner: tuple(
            Amount(left[partner, one.unit], one.unit) if one.unit in open_units else one for one in amounts
        )
        for partner, amounts in will.items()
    }


def _in_unit(payees: Payees, partner: str, unit: str) -> int:
    return sum(one.minor for one in payees.get(partner, ()) if one.unit == unit)


def _of_side(summary: ProposalSummary, side: str) -> Payees | None:
    if summary.asked is None:
        return None
    return {one: some for one, some in summary.asked.items() if summary.partners.get(one) == side}


# ---- taking effect


def is_decided(state: InitiativeState) -> bool:
    """Whether an amendment waits for nobody any more, and is not settled."""
    amendment = state.open_amendment
    matter = state.matter(amendment.matter) if amendment is not None and amendment.matter else None
    return matter is not None and not matter.is_open


def settle(state: InitiativeState, now: datetime) -> list[Happened]:
    """What becomes of an amendment that every side has decided on, or that lapsed or was overtaken."""
    amendment = state.open_amendment
    matter = state.matter(amendment.matter) if amendment is not None and amendment.matter else None
    if amendment is None or matter is None or matter.is_open:
        return []
    if matter.outcome is not Outcome.APPROVED:
        return [rejected(amendment, _why_not(matter))]
    if state.stage not in AMENDABLE:
        return [rejected(amendment, f"the initiative is {state.stage}")]
    try:
        return in_effect(state, amendment, now)
    except RuleBroken as broken:
        return [rejected(amendment, broken.detail)]


def turn_down(state: InitiativeState, lacking: tuple[Lack, ...]) -> list[Happened]:
    """Too little money is left for what every side approved: nothing changes, and nothing waits."""
    amendment = state.open_amendment
    if amendment is None or not is_decided(state):
        return []
    return [rejected(amendment, "too little money is left: " + "; ".join(map(str, lacking)), lacking)]


def in_effect(state: InitiativeState, amendment: Amendment, now: datetime) -> list[Happened]:
    """The amendment takes effect: its version, its funding agreements and all that follows are in force.

    Raises:
        RuleBroken: ``invalid``, when something happened meanwhile that it would undo.
    """
    summary = amendment.summary
    if summary is None:
        raise RuleBroken("invalid", "the amendment is settled already")
    brings = follows(state, version_of(state, amendment), amendment.due, now)
    if amendment.terms is not None and not _is_signed(state, amendment, brings):
        # Under other rules reports and tranches may be other ones altogether: what is signed is what comes, or nothing.
        raise RuleBroken(
            "invalid", "reports or payments have changed what follows from it: it is to be asked anew"
        )
    kind = AmendmentNotified if amendment.weight is Weight.MINOR else AmendmentMade
    fact = kind(
        number=amendment.number,
        version=state.version + (amendment.terms is None),
        summary=summary,
        changed=amendment.changed,
        asked_by=amendment.asked_by,
        commitments=dict(summary.requested),
        reports=brings.reports,
        tranches=brings.tranches,
        terms=amendment.terms,
    )
    happened = [Happened(fact, subject=amendment.content_hash)]
    if amendment.funding_agreements is not None:
        drawn_up = FundingAgreementsDrawnUp(**amendment.funding_agreements.model_dump())
        happened.append(Happened(drawn_up, subject=amendment.content_hash))
    return happened


def _is_signed(state: InitiativeState, amendment: Amendment, brings: Follows) -> bool:
    """Whether just that is in the document which every side has signed."""
    matter = state.matter(amendment.matter or 0)
    return matter is not None and matter.content_hash == content_hash(
        amendment_document(state, amendment, brings)
    )


def rejected(amendment: Amendment, reason: str, lacking: tuple[Lack, ...] = ()) -> Happened:
    """An amendment came to nothing."""
    fact = AmendmentRejected(number=amendment.number, reason=reason, lacking=lacking)
    return Happened(fact, subject=amendment.content_hash)


def _why_not(matter: Matter) -> str:
    told = [f"{side}: {text}" for side, one in matter.positions.items() for text in one.reasons]
    said = f"matter {matter.number} is {matter.outcome}"
    # Positions of a matter that is void or lapsed stay sealed.
    is_decided = matter.outcome in (Outcome.REFUSED, Outcome.RETURNED)
    return f"{said}; {'; '.join(told)}" if told and is_decided else said
