"""What time itself brings about: in open matters reminders, escalation, lapse (DESIGN section 3), the alarm over a
tranche that only some sides have paid (section 5), late reports (section 6) and what was announced (section 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from countersign.domain import lateness, suspension
from countersign.domain.facts import Happened, MatterEscalated, MatterLapsed, MatterReminded
from countersign.domain.funding import Tranche, diverges_at
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import OVERDUE, REMINDERS, Matter, waiting_step
from countersign.domain.payment_facts import TrancheDiverged


class Coming(NamedTuple):
    """What time brings about next: when, and of what, with its number if it has one."""

    at: datetime
    what: str
    number: int | None = None

    @property
    def about(self) -> str:
        return self.what if self.number is None else f"{self.what} {self.number}"


def coming(state: InitiativeState) -> Coming | None:
    """What time brings about next; nothing while nothing is waited for."""
    report = state.next_report()
    number = report.number if report is not None else None
    return min(
        (
            *(Coming(at, "matter", m.number) for m in state.matters if m.is_open for at in _instants(m)),
            *(Coming(at, "tranche", tranche.number) for tranche, at in _diverging(state)),
            *(Coming(at, "report", number) for at in lateness.coming(state)),
            *(Coming(at, "what was announced") for at in suspension.coming(state)),
        ),
        key=_at,
        default=None,
    )


def instant_of(one: Coming | None) -> datetime | None:
    """When that is."""
    return None if one is None else one.at


def _at(one: Coming) -> datetime:
    return one.at


def _instants(matter: Matter) -> Iterator[datetime]:
    for directorate in matter.missing:
        for percent in (*REMINDERS, OVERDUE):
            if matter.reminded.get(directorate, 0) < percent:
                yield at_percent(matter, directorate, percent)
                break
    if matter.lapses_at is not None and matter.missing:
        yield matter.lapses_at


def at_percent(matter: Matter, directorate: str, percent: int) -> datetime:
    """The instant at which so much of a side's time is gone; an extension starts its time anew."""
    begins, ends = matter.clocks.get(directorate, matter.opened_at), matter.deadlines[directorate]
    return begins + (ends - begins) * percent / 100


def passed(state: InitiativeState, now: datetime) -> list[Happened]:
    """What time has brought about by ``now`` and is not on record yet.

    What moves the stage comes by itself, after all that is told: then this is asked again, of another state.
    """
    of_matters = [one for matter in state.matters if matter.is_open for one in _passed(state, matter, now)]
    of_payments = [_diverged(tranche) for tranche, at in _diverging(state) if now >= at]
    told = [*of_matters, *of_payments, *lateness.passed(state, now)]
    return told or suspension.passed(state, now) or lateness.suspended(state, now)


def _diverging(state: InitiativeState) -> Iterator[tuple[Tranche, datetime]]:
    """The tranches that only some sides have paid, each with the instant at which that is told."""
    if state.is_over or state.winding_up:
        return  # nobody pays the rest any more
    for one in state.tranches:
        at = diverges_at(one, state.terms.tranches.divergence_limit_days)
        if at is not None:
            yield one, at


def _diverged(tranche: Tranche) -> Happened:
    paid = tuple(side for side in tranche.shares if side not in tranche.unpaid)
    return Happened(TrancheDiverged(number=tranche.number, paid=paid, unpaid=tranche.unpaid))


def _passed(state: InitiativeState, matter: Matter, now: datetime) -> Iterator[Happened]:
    if matter.lapses_at is not None and matter.missing and now >= matter.lapses_at:
        fact = MatterLapsed(matter=matter.number, silent=matter.missing)
        yield Happened(fact, subject=matter.content_hash)
        return
    for directorate in matter.missing:
        index = waiting_step(matter, directorate)
        if index is None:
            continue
        office = matter.chains[directorate][index].office
        due = [p for p in (*REMINDERS, OVERDUE) if now >= at_percent(matter, directorate, p)]
        if not due or due[-1] <= matter.reminded.get(directorate, 0):
            continue
        if due[-1] == OVERDUE:
            to = state.terms.sides[directorate].escalates.get(office)
            escalated = MatterEscalated(matter=matter.number, directorate=directorate, office=office, to=to)
            yield Happened(escalated, subject=matter.content_hash)
        else:
            reminded = MatterReminded(
                matter=matter.number, directorate=directorate, office=office, percent=due[-1]
            )
            yield Happened(reminded, subject=matter.content_hash)
