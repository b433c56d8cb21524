"""What auditors read: the trail, and the workflow history in sentences or as Temporal's own JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from countersign.api import history
from countersign.api.dependencies import Auditor, Here, Record
from countersign.api.errors import documented
from countersign.api.schemas import AuditPage, HistoryView
from countersign.store import trail

router = APIRouter(prefix="/initiatives/{identifier}", tags=["audit"])


@router.get("/audit", responses=documented("unauthenticated", "forbidden", "not_found"))
async def entries(
    here: Here,
    me: Auditor,
    record: Record,
    start: Annotated[int, Query(ge=1, le=2**53, description="The first sequence wanted.")] = 1,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
) -> AuditPage:
    """The audit trail in order, refusals and automatic steps included."""
    async with record.reading() as connection:
        found = await trail.entries_from(connection, here.id, start, limit + 1)
    more = found[limit].sequence if len(found) > limit else None
    return AuditPage(items=list(found[:limit]), next=more)


@router.get(
    "/history", response_model=HistoryView, responses=documented("unauthenticated", "forbidden", "not_found")
)
async def read_history(
    here: Here,
    me: Auditor,
    request: Request,
    form: Annotated[Literal["sentences", "temporal-json"], Query(alias="format")] = "sentences",
) -> HistoryView | Response:
    """The workflow history, all runs after each other, each sentence with its event ids."""
    runs = await history.runs(request.app.state.temporal, here.id)
    if form == "temporal-json":
        return Response(history.as_temporal_json(runs), media_type="application/json")
    return HistoryView(items=[sentence for run in runs for sentence in history.sentences(run)])
