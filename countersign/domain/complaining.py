"""Complaints: an applicant asks all sides to look at a refusal again (DESIGN section 2).

One comes within :data:`COMPLAINT_DAYS`, and once. Until then, and as long as it is before the sides, what was reserved
stays so: an upheld one must not find it spent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from countersign.domain.agreement import MatterKind
from countersign.domain.canonical import content_hash
from countersign.domain.commands import Complain, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import ComplaintLodged, Happened
from countersign.domain.ground_rules import by_applicant, in_stage, said
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Matter, Outcome
from countersign.domain.papers import complaint_document
from countersign.domain.payment_facts import CommitmentsReleased
from countersign.domain.stage import COMPLAINABLE, COMPLAINT_DAYS
from countersign.domain.steps import Deadlines, opened


def complain(
    state: InitiativeState, command: Complain, now: datetime, deadlines: Deadlines | None
) -> list[Happened]:
    """Somebody who takes part complains; it is put before every side."""
    by_applicant(state, command.caller)
    in_stage(state, *COMPLAINABLE)
    if is_over(state, now) or deadlines is None:
        raise RuleBroken("stage_closed", f"a complaint comes within {COMPLAINT_DAYS} days, and once")
    if state.open_matter(MatterKind.COMPLAINT):
        raise RuleBroken("out_of_order", "a complaint is before the directorates already")
    lodged = ComplaintLodged(reasons=command.reasons, fingerprint=fingerprint(command))
    content = content_hash(complaint_document(state, command.reasons))
    number = len(state.matters) + 1
    return [
        said(command, lodged, subject=state.content_hash),
        opened(state, MatterKind.COMPLAINT, "complaint", content, deadlines, number),
    ]


def complaint(state: InitiativeState) -> Matter | None:
    """The complaint about the refusal at which it stands."""
    found = state.last_matter(MatterKind.COMPLAINT)
    if found is None or state.stage_since is None or found.opened_at < state.stage_since:
        return None
    return found


def until(state: InitiativeState) -> datetime | None:
    """Until when a complaint about where it stands may come; none where there is nothing to complain of."""
    if state.stage not in COMPLAINABLE or state.stage_since is None:
        return None
    return state.stage_since + timedelta(days=COMPLAINT_DAYS)


def is_over(state: InitiativeState, now: datetime) -> bool:
    """Whether a refusal is final: the time for a complaint is over, or one was dismissed."""
    lodged, last = complaint(state), until(state)
    if lodged is None:
        return last is None or now >= last
    return not lodged.is_open and lodged.outcome is not Outcome.APPROVED


# ---- the steps of the workflow


def release_promised(state: InitiativeState, now: datetime) -> list[Happened]:
    """A refusal is final: nothing stays reserved for a complaint any more."""
    if not state.reserved or state.stage not in COMPLAINABLE or not is_over(state, now):
        return []
    return [Happened(CommitmentsReleased())]
