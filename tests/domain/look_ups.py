"""What the workflow looks up for a message on an amendment, worked out without a record."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from countersign.domain import amending, amendment, funding_agreement, in_force
from countersign.domain.agreement import ProgrammeAgreement, Terms
from countersign.domain.amendment import DueDate
from countersign.domain.commands import (
    AdoptAgreement,
    AskAmendment,
    ExaminedAmendment,
    ExaminedProposal,
)
from countersign.domain.errors import RuleBroken
from countersign.domain.proposal import Proposal, differences, faults, ineligibilities, summarise

if TYPE_CHECKING:
    from tests.domain.lives import Life


def other_version(life: Life, command: AskAmendment, before: Proposal, after: Proposal) -> ExaminedAmendment:
    """For another version of the proposal."""
    proposal = examined(after, life.agreement).model_copy(
        update={
            "changed": tuple(one.place for one in differences(before.document_form(), after.document_form())),
            "comparison": amendment.compare(before, after),
        }
    )
    return _drawn_up(life, command, after, ExaminedAmendment(proposal=proposal), life.agreement)


def adoption(life: Life, command: AdoptAgreement) -> ExaminedAmendment | None:
    """For another version of the agreement, if there is such a one."""
    agreement, proposal = life.agreements.get(command.agreement_version), life.proposal_in_force
    if agreement is None:
        return None
    under = ExaminedAmendment(proposal=examined(proposal, agreement), terms=agreement.terms())
    return _drawn_up(life, command, proposal, under, agreement)


def examined(proposal: Proposal, agreement: ProgrammeAgreement) -> ExaminedProposal:
    """What is told of a proposal under an agreement."""
    found = faults(proposal, agreement)
    return ExaminedProposal(
        summary=None if found else summarise(proposal),
        faults=tuple(f"{one.place}: {one.problem}" for one in found),
        ineligibilities=tuple(f"{one.rule}: {one.problem}" for one in ineligibilities(proposal, agreement)),
    )


def _drawn_up(
    life: Life,
    command: AskAmendment | AdoptAgreement,
    proposal: Proposal,
    told: ExaminedAmendment,
    agreement: ProgrammeAgreement,
) -> ExaminedAmendment:
    """With the days on which reports would fall due, and the funding agreements if it may be asked for."""
    terms: Terms = told.terms or life.state.terms
    if life.state.reports and told.proposal.summary is not None:
        periods = in_force.periods(life.state, in_force.Version(told.proposal.summary, terms))
        days = timedelta(days=30)
        due = tuple(DueDate(ends_at=one.ends_at, due_at=one.ends_at + days) for one in periods)
        told = told.model_copy(update={"due": due})
    try:
        proposed = amending.planned(life.state, command, life.now, told)
    except RuleBroken:
        return told
    rests_on = funding_agreement.amended_basis(life.state, proposed, life.now.date(), life.now)
    life.drawn_up = funding_agreement.documents(agreement, proposal, rests_on)
    drawn_up = funding_agreement.known_by(life.drawn_up, rests_on)
    return told.model_copy(update={"funding_agreements": drawn_up})
