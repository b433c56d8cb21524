"""Writing a step to the record, and reading from it what a workflow needs to decide."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from countersign.domain.agreement import Terms
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import ExaminedProposal, ExaminedReport
from countersign.domain.model import Model
from countersign.domain.proposal import (
    Proposal,
    ProposalFault,
    ProposalSummary,
    differences,
    faults,
    ineligibilities,
    is_administrative,
    summarise,
)
from countersign.domain.reporting import Report, costs_per_side, report_faults
from countersign.store import agreements, documents, record
from countersign.store.session import Database


class Recorded(Model):
    """What became of a step: written; or ``standing`` are other entries found at its place, facts that an earlier
    attempt wrote and lost (ADR 0007).
    """

    standing: tuple[AuditEntry, ...] = ()


class Opening(Model):
    """Which agreement and which proposal an initiative begins with."""

    agreement: str
    agreement_version: int
    content_hash: str


class Opened(Model):
    """The terms an initiative is bound to, and what the record says of its proposal."""

    terms: Terms
    examined: ExaminedProposal


class ProposalQuestion(Opening):
    """A new version of a proposal, and the version it replaces."""

    replaces: str


class ReportQuestion(Model):
    """A report of an initiative, to be held against its proposal."""

    content_hash: str
    summary: ProposalSummary
    currencies: dict[str, str]


class Recording:
    """The activities on the record, all of them local: they are short and repeatable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="record")
    async def record(self, step: bytes) -> Recorded:
        """Write a step (the JSON of a ``Step``) in one transaction; the same step again changes nothing."""
        return Recorded(standing=await record.append(self._database, step))

    @activity.defn(name="open_initiative")
    async def open_initiative(self, opening: Opening) -> Opened:
        """The terms of the agreement's version and the examined proposal.

        Raises:
            ApplicationError: ``not_found``, when that version of the agreement is not on record.
        """
        async with self._database.reading() as connection:
            agreement = await agreements.find(connection, opening.agreement, opening.agreement_version)
        if agreement is None:
            raise ApplicationError("no such agreement on record", type="not_found", non_retryable=True)
        return Opened(terms=agreement.terms(), examined=await self._examine(opening, None))

    @activity.defn(name="examine_proposal")
    async def examine_proposal(self, question: ProposalQuestion) -> ExaminedProposal:
        """What the record says of a new version, and which fields it changed."""
        return await self._examine(question, question.replaces)

    async def _examine(self, opening: Opening, replaces: str | None) -> ExaminedProposal:
        async with self._database.reading() as connection:
            agreement = await agreements.find(connection, opening.agreement, opening.agreement_version)
            body = await documents.find(connection, opening.content_hash)
            before = await documents.find(connection, replaces) if replaces else None
        try:
            proposal = Proposal.model_validate(body)
        except ValidationError as error:
            return ExaminedProposal(
                summary=None, faults=(f"no proposal under that hash: {error.error_count()}",)
            )
        if agreement is None or proposal.content_hash() != opening.content_hash:
            return ExaminedProposal(summary=None, faults=("the document does not have that hash",))
        found = faults(proposal, agreement)
        if found:
            return ExaminedProposal(summary=None, faults=_told(found))
        changes = differences(before, body) if before is not None else []
        return ExaminedProposal(
            summary=summarise(proposal),
            ineligibilities=tuple(
                f"{one.rule}: {one.problem}" for one in ineligibilities(proposal, agreement)
            ),
            changed=_first([one.place for one in changes]),
            administrative=bool(changes) and all(map(is_administrative, changes)),
        )

    @activity.defn(name="examine_report")
    async def examine_report(self, question: ReportQuestion) -> ExaminedReport:
        """The costs per side of a report, or why it can't be taken."""
        async with self._database.reading() as connection:
            body = await documents.find(connection, question.content_hash)
        try:
            report = Report.model_validate(body)
        except ValidationError as error:
            return ExaminedReport(faults=(f"no report under that hash: {error.error_count()}",))
        if report.content_hash() != question.content_hash:
            return ExaminedReport(faults=("the document does not have that hash",))
        found = report_faults(report, question.summary, question.currencies)
        return ExaminedReport(
            costs=costs_per_side(report, question.summary) if not found else {},
            faults=_told(found),
        )


MOST_TOLD = 20
"""Faults, and changed places, that go into a history; the API tells all of them to whoever sends the document."""


def _told(found: Sequence[ProposalFault]) -> tuple[str, ...]:
    return _first([f"{one.place}: {one.problem}" for one in found])


def _first(texts: Sequence[str]) -> tuple[str, ...]:
    more = len(texts) - MOST_TOLD
    return (*texts[:MOST_TOLD], *((f"and {more} more",) if more > 0 else ()))
