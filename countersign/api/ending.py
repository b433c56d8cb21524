"""Stopping, ending before the end, and giving back: suspension, termination, disallowed costs, claims."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from countersign.api.carrying_out import Number, Side
from countersign.api.dependencies import Here, Key, Me, Record, Workflows
from countersign.api.errors import Problem, documented
from countersign.api.schemas import Answered, Body, ReasonsBody
from countersign.domain.agreement import Identifier, NoticeDays
from countersign.domain.commands import PositiveAmount
from countersign.domain.facts import ClosureCertified
from countersign.domain.notice import NoticeKind
from countersign.domain.payment_facts import TrancheClaimed
from countersign.domain.text import Reasons
from countersign.store import documents, trail
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import (
    AskResumption,
    DisallowCosts,
    Suspend,
    TakeBackNotice,
    Terminate,
    WriteOff,
)

router = APIRouter(prefix="/initiatives/{identifier}", tags=["carrying out"])


class DisallowanceBody(Body):
    """So much of a partner's accepted costs is not eligible, and why."""

    partner: Identifier
    amount: PositiveAmount
    reasons: Reasons


class NoticeBody(Body):
    """Why, and so many days ahead; at least the agreement's notice, and just that unless given."""

    reasons: Reasons
    notice_days: NoticeDays | None = None


_ANNOUNCING = documented(
    *("not_your_office", "conflict_of_interest", "stage_closed", "out_of_order", "invalid", "not_found"),
)


@router.post("/suspension", responses=_ANNOUNCING)
async def suspend(body: NoticeBody, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Suspend an active initiative, by the office that speaks for the caller's side; nothing more is let go then."""
    command = Suspend(id=key, caller=me.caller, reasons=body.reasons, notice_days=body.notice_days)
    answer = await workflows.tell(here.id, InitiativeWorkflow.suspend, command)
    return Answered(sequence=answer.sequence)


@router.delete("/suspension", responses=_ANNOUNCING)
async def take_back_suspension(here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Take back a suspension that the caller's side announced, before it begins."""
    return await _take_back(NoticeKind.SUSPENSION, here, me, key, workflows)


@router.post(
    "/resumption",
    responses=documented(
        *(
            "not_your_office",
            "forbidden",
            "conflict_of_interest",
            "stage_closed",
            "out_of_order",
            "not_found",
        ),
    ),
)
async def ask_resumption(body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Ask all sides to resume a suspended initiative, as one that takes part, or for the caller's side."""
    command = AskResumption(id=key, caller=me.caller, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.ask_resumption, command)
    return Answered(sequence=answer.sequence)


@router.post("/termination", responses=_ANNOUNCING)
async def terminate(body: NoticeBody, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """End an active initiative, by the office that speaks for the caller's side.

    What was not spent is claimed back, once nobody has complained of it in time.
    """
    command = Terminate(id=key, caller=me.caller, reasons=body.reasons, notice_days=body.notice_days)
    answer = await workflows.tell(here.id, InitiativeWorkflow.terminate, command)
    return Answered(sequence=answer.sequence)


@router.delete("/termination", responses=_ANNOUNCING)
async def take_back_termination(here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Take back a termination that the caller's side announced, before it takes effect."""
    return await _take_back(NoticeKind.TERMINATION, here, me, key, workflows)


async def _take_back(notice: NoticeKind, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    command = TakeBackNotice(id=key, caller=me.caller, notice=notice)
    answer = await workflows.tell(here.id, InitiativeWorkflow.take_back_notice, command)
    return Answered(sequence=answer.sequence)


@router.post(
    "/reports/{number}/disallowance",
    responses=documented("not_your_office", "conflict_of_interest", "stage_closed", "not_found", "invalid"),
)
async def disallow(
    number: Number, body: DisallowanceBody, here: Here, me: Me, key: Key, workflows: Workflows
) -> Answered:
    """Take back that costs of a partner were accepted; whoever certifies the caller's side's costs does this."""
    command = DisallowCosts(
        id=key,
        caller=me.caller,
        report=number,
        partner=body.partner,
        amount=body.amount,
        reasons=body.reasons,
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.disallow_costs, command)
    return Answered(sequence=answer.sequence)


@router.get("/closure-certificate", responses=documented("unauthenticated", "not_found"))
async def certificate(here: Here, record: Record) -> dict[str, Any]:
    """What remains of a closed initiative on one page; its content hash is the subject of `closure.certified`."""
    async with record.reading() as connection:
        made = await trail.search(connection, action=ClosureCertified.action, initiative=here.id)
        body = await documents.find(connection, made[0].entry.subject or "", of=here.id) if made else None
    if body is None:
        raise Problem("not_found", "the initiative is not closed")
    return body


@router.get("/tranches/{number}/claim", responses=documented("unauthenticated", "not_found"))
async def claim(number: Number, here: Here, record: Record) -> dict[str, Any]:
    """What is claimed back with a tranche: from which partner how much, under which reference."""
    async with record.reading() as connection:
        made = [
            one.entry
            for one in await trail.search(connection, action=TrancheClaimed.action, initiative=here.id)
        ]
        subject = next((one.subject for one in made if one.body["tranche"]["number"] == number), None)
        body = await documents.find(connection, subject, of=here.id) if subject is not None else None
    if body is None:
        raise Problem("not_found", f"nothing is claimed back with tranche {number}")
    return body


@router.post(
    "/tranches/{number}/{directorate}/write-off",
    responses=documented(
        *("not_your_office", "four_eyes", "conflict_of_interest", "out_of_order", "not_found"),
    ),
)
async def write_off(
    number: Number, directorate: Side, body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows
) -> Answered:
    """Give up what the caller's side claims and does not get; never by whoever made the claim."""
    if directorate != me.caller.directorate:
        raise Problem("not_your_office", "each side gives up its own claims")
    command = WriteOff(id=key, caller=me.caller, tranche=number, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.write_off, command)
    return Answered(sequence=answer.sequence)
