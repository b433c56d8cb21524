"""What happens when an amendment is asked for: one rule for all of them (DESIGN sections 2 and 4)."""

from __future__ import annotations

from datetime import datetime, timedelta

from countersign.domain import amendment, in_force, steps
from countersign.domain.agreement import AmendmentLimits, MatterKind, Terms
from countersign.domain.amendment import Amendment, AmendmentState, Kind, Weight
from countersign.domain.canonical import content_hash
from countersign.domain.commands import (
    AdoptAgreement,
    AskAmendment,
    ExaminedAmendment,
    ExaminedProposal,
    fingerprint,
)
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import AmendmentAsked, Happened
from countersign.domain.ground_rules import by_applicant, head_of, in_stage, said, told
from countersign.domain.initiative import InitiativeState
from countersign.domain.papers import amendment_document
from countersign.domain.proposal import ProposalSummary, differences
from countersign.domain.stage import Stage
from countersign.domain.steps import Deadlines
from countersign.domain.text import first_of


def ask(
    state: InitiativeState,
    command: AskAmendment | AdoptAgreement,
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
    happened = [said(command, fact, subject=proposed.content_hash)]
    if is_minor:
        return [*happened, *in_force.in_effect(state, proposed, now)]
    version = in_force.version_of(state, proposed)
    brings = in_force.follows(state, version, proposed.due, now)
    content = content_hash(amendment_document(state, proposed, brings))
    # The chains' steps, too, are those that apply to what is asked for now.
    asked = state.model_copy(update={"summary": version.summary})
    about = f"amendment {proposed.number}"
    return [*happened, steps.opened(asked, MatterKind.AMENDMENT, about, content, deadlines, number)]


def planned(
    state: InitiativeState,
    command: AskAmendment | AdoptAgreement,
    now: datetime,
    examined: ExaminedAmendment | None,
) -> Amendment:
    """The amendment that a message asks for, but for its funding agreements: they are drawn up when it may be asked.

    Raises:
        RuleBroken: ``forbidden``, ``not_your_office``, ``conflict_of_interest``, ``stage_closed``, ``out_of_order``,
            ``too_large``, ``precondition_failed``, ``not_found`` or ``invalid``.
    """
    may_ask(state, command)
    if isinstance(command, AdoptAgreement):
        proposed = _adoption(state, command, now, examined)
    else:
        proposed = _other_version(state, command, now, examined)
    in_force.follows(state, in_force.version_of(state, proposed), proposed.due, now)
    return proposed


def _other_version(
    state: InitiativeState, command: AskAmendment, now: datetime, examined: ExaminedAmendment | None
) -> Amendment:
    """Another version of the proposal."""
    limits = _limits(state)
    if examined is None or examined.proposal.summary is None or examined.proposal.comparison is None:
        raise RuleBroken("invalid", told(examined))
    proposal, summary, comparison = examined.proposal, examined.proposal.summary, examined.proposal.comparison
    _check(state, proposal, summary)
    if Kind.EXTENSION in comparison.kinds:
        _check_extension(state, summary, limits, now)
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


def _adoption(
    state: InitiativeState, command: AdoptAgreement, now: datetime, examined: ExaminedAmendment | None
) -> Amendment:
    """The proposal as it is, under another version of the agreement."""
    if examined is None or examined.terms is None:
        raise RuleBroken("not_found", f"there is no version {command.agreement_version} of the agreement")
    proposal, terms = examined.proposal, examined.terms
    if proposal.summary is None:
        raise RuleBroken("invalid", told(examined))
    if _funders(terms) != _funders(state.terms):
        raise RuleBroken("invalid", "a version with other sides or currencies is for new initiatives only")
    # An area that takes no new proposals lets those under way go on.
    standing = [one for one in proposal.ineligibilities if not one.startswith("area_closed:")]
    if standing:
        raise RuleBroken("invalid", "; ".join(standing))
    return Amendment(
        number=len(state.amendments) + 1,
        weight=Weight.MAJOR,
        kinds=(Kind.AGREEMENT,),
        replaces=state.content_hash,
        content_hash=state.content_hash,
        changed=_changed_terms(state.terms, terms),
        reasons=command.reasons,
        asked_by=command.caller.person,
        asked_at=now,
        edition=steps.next_edition(state),
        summary=proposal.summary,
        due=examined.due,
        terms=terms,
    )


def _funders(terms: Terms) -> dict[str, str]:
    return {side: one.currency for side, one in terms.sides.items()}


def _changed_terms(before: Terms, after: Terms) -> tuple[str, ...]:
    """The places in the agreement at which the rules for a running initiative differ."""
    old, new = (one.model_dump(mode="json", exclude={"version", "content_hash"}) for one in (before, after))
    places = [f"agreement.{one.place}" for one in differences(old, new)]
    return first_of(places)


def may_ask(state: InitiativeState, command: AskAmendment | AdoptAgreement) -> None:
    """Whether the caller may ask for an amendment now, whatever it says.

    Raises:
        RuleBroken: as :func:`planned`.
    """
    if command.caller.directorate is None or isinstance(command, AskAmendment):
        by_applicant(state, command.caller)
    else:
        head_of(state, command.caller)
    in_stage(state, Stage.ACTIVE)
    if isinstance(command, AskAmendment):
        _limits(state)
    if state.open_amendment is not None:
        raise RuleBroken("out_of_order", f"amendment {state.open_amendment.number} is not settled yet")
    if len(state.amendments) >= amendment.MOST:
        raise RuleBroken("too_large", f"an initiative takes {amendment.MOST} amendments at the most")
    if isinstance(command, AdoptAgreement):
        if command.agreement_version <= state.terms.version:
            raise RuleBroken(
                "invalid", f"it is bound to version {state.terms.version}: only a newer one is adopted"
            )
        return
    if command.replaces != state.content_hash:
        raise RuleBroken("precondition_failed", f"the version in force is {state.content_hash}")
    if command.content_hash == state.content_hash:
        raise RuleBroken("invalid", "the new version is the same as the one in force")


def _limits(state: InitiativeState) -> AmendmentLimits:
    """The limits that hold for amendments of the proposal.

    Raises:
        RuleBroken: ``stage_closed``, where the agreement has none.
    """
    if state.terms.amendments is None:
        raise RuleBroken("stage_closed", "it began under terms that say nothing of amendments")
    return state.terms.amendments


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
