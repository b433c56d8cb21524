"""Server-sent events: what happened, as CloudEvents, resumable from the last one that was seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from countersign.api.dependencies import Me, Record
from countersign.api.errors import documented
from countersign.store import events

router = APIRouter(tags=["events"])

PAUSE: Final = 0.5
"""Seconds between two looks at the outbox."""


@router.get("/events", response_class=EventSourceResponse, responses=documented("unauthenticated"))
async def stream(
    me: Me,
    record: Record,
    request: Request,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,18}-\d{1,18}$")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Events that the caller may know of, after ``Last-Event-ID`` or from the beginning."""
    cursor = events.BEGINNING
    if last_event_id is not None:
        cursor = events.Cursor(*map(int, last_event_id.split("-")))
    while not await request.is_disconnected():
        async with record.reading() as connection:
            found = await events.after(connection, cursor, part_of=me.part_of)
        for one in found:
            cursor = one.cursor
            identifier = f"{cursor.transaction}-{cursor.position}"
            yield ServerSentEvent(data=_cloud_event(one), event=one.type, id=identifier)
        if not found:
            await asyncio.sleep(PAUSE)


def _cloud_event(one: events.RecordedEvent) -> dict[str, Any]:
    """CloudEvents 1.0, structured JSON."""
    return {
        "specversion": "1.0",
        "id": f"{one.initiative}/{one.sequence}",
        "source": f"/v1/initiatives/{one.initiative}",
        "type": f"org.countersign.{one.type}",
        "time": one.at.isoformat(),
        "datacontenttype": "application/json",
        "data": one.data,
    }
