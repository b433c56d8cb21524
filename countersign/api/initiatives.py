"""Where initiatives stand; what waits for the caller; withdrawing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response

from countersign.api.dependencies import Here, InitiativeId, Key, Me, Record, Workflows, seen
from countersign.api.errors import Problem, documented
from countersign.api.schemas import (
    Answered,
    InboxView,
    InitiativeSummary,
    InitiativeView,
    Page,
    ReasonsBody,
    detail,
    inbox_view,
    summary,
)
from countersign.domain.stage import Stage
from countersign.domain.text import Line
from countersign.store import initiatives, mandates
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import Withdraw

router = APIRouter(tags=["initiatives"])

IDENTIFIER: Final = r"^[a-z][a-z0-9_]{0,39}$"


@router.get("/initiatives", responses=documented("unauthenticated", "invalid"))
async def search(
    me: Me,
    record: Record,
    stage: Stage | None = None,
    area: Annotated[str | None, Query(pattern=IDENTIFIER)] = None,
    kind: Annotated[str | None, Query(pattern=IDENTIFIER)] = None,
    waits_for: Annotated[
        str | None, Query(pattern=IDENTIFIER, description="A directorate's id, or `applicant`.")
    ] = None,
    text: Annotated[Line | None, Query(max_length=200, description="In the title or the reference.")] = None,
    cursor: Annotated[str | None, Query(max_length=60)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Page[InitiativeSummary]:
    """Initiatives that the caller may see, the newest first."""
    before = _cursor(cursor)
    async with record.reading() as connection:
        found = await initiatives.search(
            connection,
            stage=stage,
            area=area,
            kind=kind,
            waits_for=waits_for,
            text=text,
            part_of=me.part_of,
            before=before,
            limit=limit + 1,
        )
    more = found[limit - 1].id if len(found) > limit else None
    return Page(items=[summary(one) for one in found[:limit]], next=more)


@router.get("/initiatives/{identifier}", responses=documented("unauthenticated", "not_found"))
async def read(identifier: InitiativeId, me: Me, record: Record, response: Response) -> InitiativeView:
    """Where it stands, what it waits for and on whom, since when, until when."""
    found = await initiatives.whole(record, identifier)
    here = seen(found.initiative if found else None, me)
    assert found is not None
    response.headers["ETag"] = f'"{here.sequence}"'
    return detail(here, found.waiting, found.conditions, found.versions, me)


@router.get("/inbox", responses=documented("unauthenticated"))
async def inbox(me: Me, record: Record, limit: Annotated[int, Query(ge=1, le=200)] = 100) -> Page[InboxView]:
    """What waits for the caller, by their offices, their mandates or as an applicant, the soonest deadline first."""
    caller = me.caller
    async with record.reading() as connection:
        given = await mandates.in_force(connection, me.person, datetime.now(UTC))
        items = await initiatives.inbox(
            connection,
            person=me.person,
            directorate=caller.directorate,
            offices=caller.offices,
            mandates=given if caller.directorate else (),
            limit=limit,
        )
    return Page(items=[inbox_view(one) for one in items])


@router.post(
    "/initiatives/{identifier}/withdrawal",
    responses=documented("forbidden", "stage_closed", "not_found", "idempotency_key_required"),
)
async def withdraw(body: ReasonsBody, here: Here, me: Me, key: Key, workflows: Workflows) -> Answered:
    """Withdraw, with reasons, at any stage before ``active``."""
    command = Withdraw(id=key, caller=me.caller, reasons=body.reasons)
    answer = await workflows.tell(here.id, InitiativeWorkflow.withdraw, command)
    return Answered(sequence=answer.sequence)


def _cursor(text: str | None) -> str | None:
    """The id that a cursor names."""
    try:
        return None if text is None else str(UUID(text))
    except ValueError:
        raise Problem("invalid", "that is no cursor of this list") from None
