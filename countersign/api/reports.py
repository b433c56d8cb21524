"""Reports: what is due when, what was reported, drafts of what is still written, and doing without one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.api.attachments import check_attached
from countersign.api.carrying_out import Number
from countersign.api.dependencies import Bound, Here, Key, Me, Record, Required, Workflows
from countersign.api.errors import Problem, documented
from countersign.api.identity import Identity
from countersign.api.schemas import Answered, DraftView, Page, ReasonsBody, ReportDetail, ReportView
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.canonical import content_hash
from countersign.domain.report_titles import titles
from countersign.domain.reporting import Report, financial_statement
from countersign.store import documents, drafts, initiatives
from countersign.store.drafts import Draft
from countersign.store.initiatives import Initiative
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import SubmitReport, WaiveReport

router = APIRouter(prefix="/initiatives/{identifier}/reports", tags=["reports"])

IfMatch = Annotated[str | None, Header(description="The ETag of the draft that this one takes the place of.")]


@router.get("", responses=documented("unauthenticated", "not_found"))
async def reports(here: Here, bound: Bound, record: Record) -> Page[ReportView]:
    """What is due when, and what came of it."""
    async with record.reading() as connection:
        return Page(items=await _reports(connection, here, bound))


@router.get("/{number}", responses=documented("unauthenticated", "not_found"))
async def read(number: Number, here: Here, bound: Bound, record: Record) -> ReportDetail:
    """One report as it was submitted last, with the financial statement of each partner."""
    async with record.reading() as connection:
        due = next((one for one in await _reports(connection, here, bound) if one.number == number), None)
        if due is None:
            raise Problem("not_found", f"there is no report {number}")
        body = await documents.find(connection, due.content_hash, of=here.id) if due.content_hash else None
    statement = financial_statement(Report.model_validate(body)) if body is not None else {}
    return ReportDetail(**due.model_dump(), report=body, statement=statement)


@router.post(
    "/{number}",
    responses=documented("invalid", "forbidden", "not_due", "out_of_order", "stage_closed", "not_found"),
)
async def submit(
    number: Number,
    report: Report,
    here: Here,
    me: Me,
    key: Key,
    record: Record,
    required: Required,
    workflows: Workflows,
) -> Answered:
    """Submit a report of a period that has ended, or again after changes were requested."""
    content = report.content_hash()
    async with record.transaction() as connection:
        await check_attached(required, connection, report, me, here.id)
        await documents.keep(connection, content, report.document_form())
    command = SubmitReport(id=key, caller=me.caller, report=number, content_hash=content)
    answer = await workflows.tell(here.id, InitiativeWorkflow.submit_report, command)
    return Answered(sequence=answer.sequence)


@router.post(
    "/{number}/waiver",
    responses=documented(
        "not_your_office", "conflict_of_interest", "out_of_order", "stage_closed", "invalid"
    ),
)
async def waive(
    number: Number, body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows
) -> Answered:
    """Do without a report, for the caller's side; once every side does, it is waived. Never the final one."""
    command = WaiveReport(id=key, caller=me.caller, report=number, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.waive_report, command)
    return Answered(sequence=answer.sequence)


@router.get("/{number}/draft", responses=documented("unauthenticated", "not_found"))
async def read_draft(number: Number, here: Here, me: Me, record: Record, response: Response) -> DraftView:
    """What is written of a report so far; for those who take part in the initiative only."""
    _own(here, me)
    async with record.reading() as connection:
        found = await drafts.find(connection, here.id, number)
    if found is None:
        raise Problem("not_found", f"nothing is written of report {number}")
    response.headers["ETag"] = f'"{found.content_hash}"'
    return DraftView(
        number=number, report=found.body, written_by=found.written_by, written_at=found.written_at
    )


@router.put(
    "/{number}/draft",
    responses=documented("unauthenticated", "not_found", "invalid", "precondition_failed", "too_large"),
)
async def write_draft(
    number: Number,
    body: Annotated[
        dict[str, Any], Body(description="As much of a report as there is; it need not be whole.")
    ],
    here: Here,
    me: Me,
    record: Record,
    response: Response,
    if_match: IfMatch = None,
) -> DraftView:
    """Write a report that is not ready yet. ``If-Match`` names what it takes the place of; the first one needs none."""
    _own(here, me)
    try:
        draft = Draft(content_hash(body), body, me.person, datetime.now(UTC))
    except ValueError as problem:
        raise Problem("invalid", str(problem)) from None
    replaces = None if if_match is None else if_match.strip().removeprefix("W/").strip('"')
    async with record.transaction() as connection:
        if all(one.number != number for one in await initiatives.reports(connection, here.id)):
            raise Problem("not_found", f"there is no report {number}")
        if not await drafts.put(connection, here.id, number, draft, replaces=replaces):
            raise Problem("precondition_failed", "somebody has written another draft since; read it first")
    response.headers["ETag"] = f'"{draft.content_hash}"'
    return DraftView(number=number, report=body, written_by=draft.written_by, written_at=draft.written_at)


@router.delete("/{number}/draft", status_code=204, responses=documented("unauthenticated", "not_found"))
async def discard_draft(number: Number, here: Here, me: Me, record: Record) -> None:
    """Throw a draft away."""
    _own(here, me)
    async with record.transaction() as connection:
        await drafts.discard(connection, here.id, number)


async def _reports(
    connection: AsyncConnection, here: Initiative, bound: ProgrammeAgreement
) -> list[ReportView]:
    found = await initiatives.reports(connection, here.id)
    proposal = await documents.find(connection, here.content_hash, of=here.id) or {}
    milestones = {one["id"]: one["title"] for one in proposal.get("milestones", ())}
    called = titles(bound, found, milestones)
    return [ReportView(**one.model_dump(), title=called.get(one.number, {})) for one in found]


def _own(here: Initiative, me: Identity) -> None:
    """Drafts are the applicants': for everybody else there is none."""
    if me.part_of is None or not here.has_part(*me.part_of):
        raise Problem("not_found", "there is no such draft, or not for you")
