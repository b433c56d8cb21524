"""Tranches: who authorises, confirms and holds a side's part."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from countersign.api.dependencies import Here, Key, Me, Record, Workflows
from countersign.api.errors import documented
from countersign.api.payment_views import ForBody, TrancheView, tranche_view
from countersign.api.schemas import Answered, Page, ReasonsBody
from countersign.store import initiatives
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import (
    AuthoriseTranche,
    ConfirmTranche,
    HoldTranche,
    ResumeTranche,
)

router = APIRouter(prefix="/initiatives/{identifier}", tags=["carrying out"])

Number = Annotated[int, Path(ge=1, le=100_000)]
Side = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_]{0,39}$", description="The directorate's id.")]


@router.get("/tranches", responses=documented("unauthenticated", "not_found"))
async def tranches(here: Here, me: Me, record: Record) -> Page[TrancheView]:
    """The tranches and where each side's part of them stands."""
    async with record.reading() as connection:
        found = await initiatives.tranches(connection, here.id)
    return Page(items=[tranche_view(one, me) for one in found])


_FINANCE = documented(
    *("not_your_office", "four_eyes", "out_of_order", "conflict_of_interest", "not_found"),
    *("mandate_exceeded", "mandate_expired"),
)


@router.post("/tranches/{number}/{directorate}/authorisation", responses=_FINANCE)
async def authorise(
    number: Number,
    directorate: Side,
    here: Here,
    me: Me,
    key: Key,
    workflows: Workflows,
    body: ForBody | None = None,
) -> Answered:
    """Authorise one side's part of a tranche, or do so for a finance officer; nobody is paid until every side has."""
    command = AuthoriseTranche(
        id=key,
        caller=me.caller,
        tranche=number,
        directorate=directorate,
        on_behalf_of=body.on_behalf_of if body else None,
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.authorise_tranche, command)
    return Answered(sequence=answer.sequence)


@router.post("/tranches/{number}/{directorate}/confirmation", responses=_FINANCE)
async def confirm(
    number: Number,
    directorate: Side,
    here: Here,
    me: Me,
    key: Key,
    workflows: Workflows,
    body: ForBody | None = None,
) -> Answered:
    """Confirm that it was paid; never by, or for, anybody by or for whom it was authorised."""
    command = ConfirmTranche(
        id=key,
        caller=me.caller,
        tranche=number,
        directorate=directorate,
        on_behalf_of=body.on_behalf_of if body else None,
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.confirm_tranche, command)
    return Answered(sequence=answer.sequence)


_STOPPING = documented("not_your_office", "out_of_order", "conflict_of_interest", "stage_closed", "not_found")


@router.post("/tranches/{number}/{directorate}/hold", responses=_STOPPING)
async def hold(
    number: Number,
    directorate: Side,
    body: ReasonsBody,
    here: Here,
    me: Me,
    key: Key,
    workflows: Workflows,
) -> Answered:
    """Stop one side's part before its bank is told; nobody is paid of that tranche until it goes on."""
    command = HoldTranche(
        id=key, caller=me.caller, tranche=number, directorate=directorate, reasons=body.reasons
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.hold_tranche, command)
    return Answered(sequence=answer.sequence)


@router.post("/tranches/{number}/{directorate}/resumption", responses=_STOPPING)
async def resume(
    number: Number,
    directorate: Side,
    body: ReasonsBody,
    here: Here,
    me: Me,
    key: Key,
    workflows: Workflows,
) -> Answered:
    """Let a held part go on; one that had been authorised is authorised anew."""
    command = ResumeTranche(
        id=key, caller=me.caller, tranche=number, directorate=directorate, reasons=body.reasons
    )
    answer = await workflows.tell(here.id, InitiativeWorkflow.resume_tranche, command)
    return Answered(sequence=answer.sequence)
