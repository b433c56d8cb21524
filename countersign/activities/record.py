"""Writing a step to the record, and reading from it what a workflow needs to decide."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from countersign.activities.deadlines import DeadlineQuestion, deadline
from countersign.activities.signing import Signing, SigningOrder
from countersign.domain import draft
from countersign.domain.agreement import Terms
from countersign.domain.amendment import compare
from countersign.domain.audit import AuditEntry
from countersign.domain.budget import Lack
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
from countersign.domain.reporting import Against, Report, costs_per_partner, costs_per_side, report_faults
from countersign.domain.schedule import ReportKind
from countersign.domain.text import first_of
from countersign.store import agreements, attachments, documents, record
from countersign.store.budgets import BudgetExceeded
from countersign.store.session import Database


class Recorded(Model):
    """What became of a step: written; or ``standing`` are other entries found at its place, facts that an earlier
    attempt wrote and lost (ADR 0007).

    ``lacking`` is what is too little for the money that it would reserve: then nothing was written.
    ``signed`` are the entries from a draft's signature on, as they were written; none when its side is not served
    here, and then nothing was written at all. ``deadlines`` answer the questions that came with the step.
    """

    standing: tuple[AuditEntry, ...] = ()
    signed: tuple[AuditEntry, ...] | None = None
    deadlines: tuple[datetime, ...] = ()
    lacking: tuple[Lack, ...] = ()


class Submission(Model):
    """A document by its hash, and who submits it to which initiative; none where it is on record already."""

    content_hash: str
    submitter: str | None = None
    initiative: str | None = None


class Opening(Submission):
    """Which agreement and which proposal an initiative begins with."""

    agreement: str
    agreement_version: int


class Opened(Model):
    """The terms an initiative is bound to, and what the record says of its proposal."""

    terms: Terms
    examined: ExaminedProposal


class ProposalQuestion(Opening):
    """A new version of a proposal, and the version it replaces."""

    replaces: str


class ReportQuestion(Submission):
    """A report of an initiative, to be held against its proposal (``proposal`` is the version in force)."""

    summary: ProposalSummary
    currencies: dict[str, str]
    proposal: str | None = None
    began_at: datetime | None = None
    ends_at: datetime | None = None
    kind: ReportKind = ReportKind.BOTH
    milestone: str | None = None


class ReportAnswer(Model):
    """What the record says of a report, and the deadlines of the matter that it would open."""

    examined: ExaminedReport
    deadlines: tuple[datetime, ...]


class Recording:
    """The activities on the record, all of them local: they are short and repeatable.

    What the workflow will ask next goes along with what it asks now: an activity less is worth more to it than
    anything that is done inside one.

    ``attached`` is whether attachments are kept here: then what a document names has to be there.
    """

    def __init__(self, database: Database, signing: Signing, *, attached: bool = False) -> None:
        self._database, self._signing, self._attached = database, signing, attached

    @activity.defn(name="record")
    async def record(self, step: bytes, questions: list[DeadlineQuestion]) -> Recorded:
        """Write a step (the JSON of a ``Step``) in one transaction; the same step again changes nothing."""
        try:
            standing = await record.append(self._database, step)
        except BudgetExceeded as exceeded:
            return Recorded(lacking=exceeded.lacking)
        return Recorded(standing=standing, deadlines=_deadlines(questions))

    @activity.defn(name="sign_and_record")
    async def sign_and_record(
        self, step: bytes, order: SigningOrder, questions: list[DeadlineQuestion]
    ) -> Recorded:
        """Complete a draft with the signature of a side that this very worker serves, and write it (ADR 0010)."""
        jws = self._signing.here(order)
        if jws is None:
            return Recorded()
        body = json.loads(step)
        signed = draft.completed(body, jws)
        standing = await record.append(self._database, json.dumps(body).encode())
        return Recorded(
            standing=standing,
            signed=tuple(AuditEntry.model_validate(one) for one in signed),
            deadlines=_deadlines(questions),
        )

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
        """What the record says of a new version, and what it changed."""
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
        absent = await self._absent(opening, proposal)
        # A first version that lacks documents is on record, and not eligible; another one is refused.
        found = faults(proposal, agreement) + (absent if replaces else [])
        if found:
            return ExaminedProposal(summary=None, faults=_told(found))
        changes = differences(before, body) if before is not None else []
        return ExaminedProposal(
            summary=summarise(proposal),
            ineligibilities=tuple(
                f"{one.rule}: {one.problem}" for one in [*ineligibilities(proposal, agreement), *absent]
            ),
            changed=first_of([one.place for one in changes]),
            administrative=bool(changes) and all(map(is_administrative, changes)),
            comparison=compare(Proposal.model_validate(before), proposal) if before is not None else None,
        )

    @activity.defn(name="examine_report")
    async def examine_report(
        self, question: ReportQuestion, questions: list[DeadlineQuestion]
    ) -> ReportAnswer:
        """The costs per side of a report, or why it can't be taken."""
        return ReportAnswer(examined=await self._report(question), deadlines=_deadlines(questions))

    async def _report(self, question: ReportQuestion) -> ExaminedReport:
        async with self._database.reading() as connection:
            body = await documents.find(connection, question.content_hash)
            proposed = await documents.find(connection, question.proposal) if question.proposal else None
        try:
            report = Report.model_validate(body)
        except ValidationError as error:
            return ExaminedReport(faults=(f"no report under that hash: {error.error_count()}",))
        if report.content_hash() != question.content_hash:
            return ExaminedReport(faults=("the document does not have that hash",))
        against = Against(
            summary=question.summary,
            currencies=question.currencies,
            work_packages=_work_packages(proposed) if proposed is not None else None,
            began_at=question.began_at,
            ends_at=question.ends_at,
            kind=question.kind,
            milestone=question.milestone,
        )
        found = report_faults(report, against) + await self._absent(question, report)
        return ExaminedReport(
            costs=costs_per_side(report, question.summary) if not found else {},
            by_partner=costs_per_partner(report) if not found else None,
            faults=_told(found),
        )

    async def _absent(self, submission: Submission, document: Proposal | Report) -> list[ProposalFault]:
        """What a document names that neither its submitter brought nor the initiative had before."""
        if not self._attached or submission.submitter is None:
            return []
        places = document.attached()
        async with self._database.reading() as connection:
            absent = await attachments.missing(
                connection, list(places.values()), submission.submitter, submission.initiative
            )
        return [
            ProposalFault(place, "attachment", f"{content_hash} was not uploaded by who submits it")
            for place, content_hash in places.items()
            if content_hash in absent
        ]


def _work_packages(proposal: dict[str, Any]) -> dict[int, tuple[str, ...]]:
    return {one["number"]: tuple(one["deliverables"]) for one in proposal["work_packages"]}


def _deadlines(questions: list[DeadlineQuestion]) -> tuple[datetime, ...]:
    return tuple(deadline(one.calendar, one.start, one.working_days) for one in questions)


def _told(found: Sequence[ProposalFault]) -> tuple[str, ...]:
    return first_of([f"{one.place}: {one.problem}" for one in found])
