"""What happens when an amendment is asked for: one rule for all of them (DESIGN sections 2 and 4)."""

from __future__ import annotations

from datetime import datetime, timedelta

from countersign.domain import amendment, in_force, steps
from countersign.domain.agreement import AmendmentLimits, MatterKind
from countersign.domain.amendment import Amendment, AmendmentState, Kind, Weight
from countersign.domain.canonical import content_hash
from countersign.domain.commands import AskAmendment, ExaminedAmendment, ExaminedProposal, fingerprint
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import AmendmentAsked, Happened
from countersign.domain.ground_rules import by_applicant, in_stage, said, told
from countersign.domain.initiative import InitiativeState
from countersign.domain.papers import amendment_document
from countersign.domain.proposal import ProposalSummary
from countersign.domain.stage import Stage
from countersign.domain.steps import Deadlines


def ask(
    state: InitiativeState,
    command: AskAmendment,
    now: datetime,
    examined: ExaminedAmendment | None,
    deadlines: Deadlines | None,
) -> list[Happened]:
    """A minor amendment is notified and in force at once; a major one is put before every side."""
    proposed = planned(state, command, now, examined)
    if examined is None or examined.funding_agreements is None or deadlines is None:
        raise RuleBroken("invalid", "its funding agreements could not be drawn up")
    drawn_up = examined.funding_agreements
    proposed = proposed.model_copy(update={"funding_agreements": drawn_up})
    is_minor = proposed.weight is Weight.MINOR
    number = len(state.matters) + 1
    fact = AmendmentAsked(
        **proposed.model_dump(include=set(AmendmentAsked.model_fields) - {"matter"}),
        matter=None if is_minor else number,
        fingerprint=fingerprint(command),
    )
    happened = [said(command, fact, subject=command.content_hash)]
    if is_minor:
        return [*happened, *in_force.in_effect(state, proposed, now)]
    summary = _summary(proposed)
    brings = in_force.follows(state, summary, proposed.due, now)
    content = content_hash(amendment_document(state, proposed, brings))
    # The chains' steps, too, are those that apply to what is asked for now.
    asked = state.model_copy(update={"summary": summary})
    about = f"amendment {proposed.number}"
    return [*happened, steps.opened(asked, MatterKind.AMENDMENT, about, content, deadlines, number)]


def planned(
    state: InitiativeState, command: AskAmendment, now: datetime, examined: ExaminedAmendment | None
) -> Amendment:
    """The amendment that a message asks for, but for its funding agreements: they are drawn up when it may be asked.

    Raises:
        RuleBroken: ``forbidden``, ``stage_closed``, ``out_of_order``, ``too_large``, ``precondition_failed`` or
            ``invalid``.
    """
    limits = may_ask(state, command)
    if examined is None or examined.proposal.summary is None or examined.proposal.comparison is None:
        raise RuleBroken("invalid", told(examined))
    proposal, summary, comparison = examined.proposal, examined.proposal.summary, examined.proposal.comparison
    _check(state, proposal, summary)
    if Kind.EXTENSION in comparison.kinds:
        _check_extension(state, summary, limits, now)
    in_force.follows(state, summary, examined.due, now)
    return Amendment(
        number=len(state.amendments) + 1,
        weight=amendment.weigh(comparison, limits),
        kinds=comparison.kinds,
        replaces=command.replaces,
        content_hash=command.content_hash,
        changed=proposal.changed,
        reasons=command.reasons,
        asked_by=command.caller.person,
        asked_at=now,
        edition=steps.next_edition(state),
        summary=summary,
        due=examined.due,
    )


def may_ask(state: InitiativeState, command: AskAmendment) -> AmendmentLimits:
    """The limits that hold for amendments, where the caller may ask for one now, whatever it says.

    Raises:
        RuleBroken: as :func:`planned`.
    """
    by_applicant(state, command.caller)
    in_stage(state, Stage.ACTIVE)
    limits = state.terms.amendments
    if limits is None:
        raise RuleBroken("stage_closed", "it began under terms that say nothing of amendments")
    if state.open_amendment is not None:
        raise RuleBroken("out_of_order", f"amendment {state.open_amendment.number} is not settled yet")
    if len(state.amendments) >= amendment.MOST:
        raise RuleBroken("too_large", f"an initiative takes {amendment.MOST} amendments at the most")
    if command.replaces != state.content_hash:
        raise RuleBroken("precondition_failed", f"the version in force is {state.content_hash}")
    if command.content_hash == state.content_hash:
        raise RuleBroken("invalid", "the new version is the same as the one in force")
    return limits


def _check(state: InitiativeState, examined: ExaminedProposal, summary: ProposalSummary) -> None:
    if examined.ineligibilities:
        raise RuleBroken("invalid", "; ".join(examined.ineligibilities))
    if (summary.area, summary.kind) != (state.proposal.area, state.proposal.kind):
        # Ceilings and budgets of another area would count: that is another initiative.
        raise RuleBroken("invalid", "the area and the kind of an active initiative stay")


def _check_extension(
    state: InitiativeState, summary: ProposalSummary, limits: AmendmentLimits, now: datetime
) -> None:
    """Once, no longer than the agreement lets it be, and in time before the end."""
    made = [one for one in state.amendments if one.state is AmendmentState.MADE]
    if any(Kind.EXTENSION in one.kinds for one in made):
        raise RuleBroken("invalid", "it was extended already, and that is done once")
    longer = summary.duration_months - state.proposal.duration_months
    if longer > limits.extension_months:
        raise RuleBroken("invalid", f"an extension is of {limits.extension_months} months at the most")
    until = state.reports[-1].ends_at - timedelta(days=limits.extension_notice_days)
    if now > until:
        raise RuleBroken("stage_closed", f"an extension was to be asked for by {until.isoformat()}")


def _summary(proposed: Amendment) -> ProposalSummary:
    if proposed.summary is None:
        raise RuleBroken("invalid", "the amendment brings no version")
    return proposed.summary
