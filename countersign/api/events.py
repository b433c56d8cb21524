"""Server-sent events: what happened, as CloudEvents, resumable from the last one that was seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from countersign.api.dependencies import Me, Record, Sessions, browser_session
from countersign.api.errors import documented
from countersign.store import events

router = APIRouter(tags=["events"])

PAUSE: Final = 0.5
"""Seconds between two looks at the outbox."""

SESSION_EVERY: Final = 5.0
"""Seconds between two looks at whether whoever listens with a browser is still signed in."""


@router.get("/events", response_class=EventSourceResponse, responses=documented("unauthenticated"))
async def stream(
    me: Me,
    record: Record,
    sessions: Sessions,
    request: Request,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{1,18}-\d{1,18}$")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Events that the caller may know of, after ``Last-Event-ID`` or from the beginning.

    For a browser's session they end with it, or when its person is another than before (an office less): a browser
    comes back by itself.
    """
    cursor = events.BEGINNING
    if last_event_id is not None:
        cursor = events.Cursor(*map(int, last_event_id.split("-")))
    session, looked = browser_session(request), monotonic()
    while not await request.is_disconnected():
        if session is not None and monotonic() - looked >= SESSION_EVERY:
            if not await sessions.goes_on(session):
                return
            looked = monotonic()
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
