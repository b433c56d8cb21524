"""Reports that their applicants are still writing: no part of the record, and nobody else's to read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t


@dataclass(frozen=True, slots=True)
class Draft:
    """A draft as it was written last; ``content_hash`` tells one state of it from another."""

    content_hash: str
    body: dict[str, Any]
    written_by: str
    written_at: datetime


async def find(connection: AsyncConnection, initiative: str, number: int) -> Draft | None:
    """The draft of a report."""
    d = t.report_draft.c
    row = (
        await connection.execute(
            select(d.content_hash, d.body, d.written_by, d.written_at).filter_by(
                initiative_id=initiative, number=number
            )
        )
    ).first()
    return None if row is None else Draft(*row)


async def put(
    connection: AsyncConnection, initiative: str, number: int, draft: Draft, *, replaces: str | None
) -> bool:
    """Write a draft in the place of the one with the hash ``replaces``, or of none; whether that one was there."""
    d = t.report_draft.c
    values = {
        "content_hash": draft.content_hash,
        "body": draft.body,
        "written_by": draft.written_by,
        "written_at": draft.written_at,
    }
    statement = insert(t.report_draft).values(initiative_id=initiative, number=number, **values)
    if replaces is None:
        written = statement.on_conflict_do_nothing().returning(d.number)
    else:
        written = (
            t.report_draft.update()  # type: ignore[assignment]
            .where(d.initiative_id == initiative, d.number == number, d.content_hash == replaces)
            .values(**values)
            .returning(d.number)
        )
    return await connection.scalar(written) is not None


async def discard(connection: AsyncConnection, initiative: str, number: int) -> None:
    """Throw a draft away; one that is gone stays gone."""
    d = t.report_draft.c
    await connection.execute(delete(t.report_draft).where(d.initiative_id == initiative, d.number == number))
