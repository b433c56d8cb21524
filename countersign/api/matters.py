"""What is or was before the directorates, sign-offs, and the conditions they set."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Response
from fastapi.responses import JSONResponse

from countersign.api.dependencies import Here, InitiativeId, Key, Me, Record, Workflows, seen
from countersign.api.errors import Problem, documented
from countersign.api.schemas import (
    Answered,
    EvidenceBody,
    ExtensionBody,
    MatterDetail,
    MatterView,
    Page,
    ReasonsBody,
    SignedView,
    SignOffBody,
    matter_detail,
    matter_view,
)
from countersign.store import documents, initiatives
from countersign.store.initiatives import Seen
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import (
    ClearCondition,
    Complain,
    DeclareConflict,
    ExtendDeadline,
    GiveEvidence,
    RefuseEvidence,
    SignOff,
)

router = APIRouter(prefix="/initiatives/{identifier}", tags=["joint decisions"])

Number = Annotated[int, Path(ge=1, le=100_000)]


@router.get("/matters", responses=documented("unauthenticated", "not_found"))
async def every(here: Here, me: Me, record: Record) -> Page[MatterView]:
    """Everything that was put before the directorates, in order; positions are sealed until all are in."""
    async with record.reading() as connection:
        found = await initiatives.see_matters(connection, here.id)
    return Page(items=[matter_view(one, me) for one in found])


@router.get("/matters/{number}", responses=documented("unauthenticated", "not_found"))
async def read(number: Number, identifier: InitiativeId, me: Me, record: Record) -> MatterDetail:
    """One matter, with the content that its hash is taken over."""
    found = await initiatives.before(record, identifier, number)
    seen(found.initiative if found else None, me)
    assert found is not None
    return matter_detail(_there(found.seen, number), found.subject, me)


@router.get("/matters/{number}/decision", responses=documented("unauthenticated", "not_found"))
async def decision(number: Number, here: Here, record: Record) -> dict[str, Any]:
    """The joint decision: every side's signed position and the outcome that follows; none before it is decided."""
    found = await _matter(record, here.id, number)
    if found.matter.decision is None:
        raise Problem("not_found", f"matter {number} is not decided")
    async with record.reading() as connection:
        return await documents.find(connection, found.matter.decision, of=here.id) or {}


@router.post(
    "/matters/{number}/sign-offs",
    response_model=SignedView,
    responses=documented(
        "not_your_office",
        "already_signed",
        "conflict_of_interest",
        "stale_content",
        "matter_closed",
        "invalid",
    )
    | {
        202: {
            "description": "Taken, to be decided; the answer goes to the audit trail (`Prefer: respond-async`)."
        }
    },
)
async def sign(
    number: Number,
    body: SignOffBody,
    here: Here,
    me: Me,
    record: Record,
    workflows: Workflows,
    prefer: Annotated[str | None, Header()] = None,
) -> Response | SignedView:
    """Sign off: 200 with the matter's state when it counts, 409 with the reason when it does not."""
    sign_off = SignOff(
        id=body.id,
        matter=number,
        response=body.response,
        content_hash=body.content_hash,
        caller=me.caller,
        reasons=body.reasons,
        conditions=tuple(body.conditions),
        comment=body.comment,
        on_behalf_of=body.on_behalf_of,
    )
    if _wants_async(prefer):
        await workflows.signal_sign_off(here.id, sign_off)
        where = f"/v1/initiatives/{here.id}/matters/{number}"
        return JSONResponse(
            {"status": "taken", "id": body.id},
            status_code=202,
            headers={"Location": where, "Preference-Applied": "respond-async"},
        )
    answer = await workflows.tell(here.id, InitiativeWorkflow.sign_off, sign_off)
    return SignedView(
        sequence=answer.sequence, matter=matter_view(await _matter(record, here.id, number), me)
    )


@router.post(
    "/matters/{number}/extension",
    responses=documented("not_your_office", "matter_closed", "not_found", "conflict_of_interest"),
)
async def extend(
    number: Number, body: ExtensionBody, here: Here, me: Me, key: Key, workflows: Workflows
) -> Answered:
    """Give the caller's own side more working days; its head does this, with reasons."""
    command = ExtendDeadline(
        id=key, caller=me.caller, matter=number, working_days=body.working_days, reasons=body.reasons
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.extend_deadline, command)
    return Answered(sequence=answer.sequence)


@router.post("/conflicts", responses=documented("forbidden", "stage_closed", "not_found"))
async def declare_conflict(body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Declare an interest: the caller decides nothing on this initiative from now on."""
    command = DeclareConflict(id=key, caller=me.caller, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.declare_conflict, command)
    return Answered(sequence=answer.sequence)


@router.post(
    "/conditions/{number}/evidence",
    responses=documented("forbidden", "stage_closed", "not_found", "out_of_order"),
)
async def give_evidence(
    number: Number, body: EvidenceBody, here: Here, me: Me, key: Key, workflows: Workflows
) -> Answered:
    """Show that a condition is met."""
    command = GiveEvidence(id=key, caller=me.caller, condition=number, text=body.text)
    answer = await workflows.tell(here.id, InitiativeWorkflow.give_evidence, command)
    return Answered(sequence=answer.sequence)


@router.post(
    "/conditions/{number}/clearance",
    responses=documented("not_your_office", "stage_closed", "not_found", "out_of_order"),
)
async def clear(number: Number, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Clear a condition that the caller's side set."""
    command = ClearCondition(id=key, caller=me.caller, condition=number)
    answer = await workflows.tell(here.id, InitiativeWorkflow.clear_condition, command)
    return Answered(sequence=answer.sequence)


@router.post(
    "/conditions/{number}/refusal",
    responses=documented("not_your_office", "stage_closed", "not_found", "out_of_order"),
)
async def refuse_evidence(
    number: Number, body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows
) -> Answered:
    """Refuse the evidence for a condition that the caller's side set; the applicant may give other evidence."""
    command = RefuseEvidence(id=key, caller=me.caller, condition=number, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.refuse_evidence, command)
    return Answered(sequence=answer.sequence)


@router.post("/complaint", responses=documented("forbidden", "stage_closed", "not_found", "out_of_order"))
async def complain(body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Complain about a refusal or a termination, within 30 days; while it runs, the funds stay reserved.

    Upheld by all sides it reopens the decision on what was refused. What was terminated is suspended then, as it was,
    and all sides are asked whether it goes on.
    """
    command = Complain(id=key, caller=me.caller, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.complain, command)
    return Answered(sequence=answer.sequence)


async def _matter(record: Database, initiative: str, number: int) -> Seen:
    return _there(await initiatives.see_matter(record, initiative, number), number)


def _there(found: Seen | None, number: int) -> Seen:
    if found is None:
        raise Problem("not_found", f"there is no matter {number}")
    return found


def _wants_async(prefer: str | None) -> bool:
    """Whether ``Prefer`` (RFC 7240) asks not to wait."""
    return any(one.split(";")[0].strip().lower() == "respond-async" for one in (prefer or "").split(","))
