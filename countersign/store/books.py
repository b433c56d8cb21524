"""Trails beside those of initiatives: what a directorate does that is of no single initiative."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain import audit
from countersign.domain.audit import AuditEntry
from countersign.store import tables as t
from countersign.store.trail import row_of


async def one_at_a_time(connection: AsyncConnection, book: str) -> None:
    """Wait until nobody else writes into a book; until the end of the transaction nobody else will."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(book, 0))))


async def append(
    connection: AsyncConnection,
    book: str,
    action: str,
    actor: str,
    at: datetime,
    body: dict[str, Any],
    subject: str | None = None,
    message: str | None = None,
) -> AuditEntry:
    """Write the next entry of a book; the caller holds it by :func:`one_at_a_time`."""
    table = t.audit_entry
    last = (
        await connection.execute(
            select(table.c.sequence, table.c.hash)
            .where(table.c.initiative_id == book)
            .order_by(table.c.sequence.desc())
            .limit(1)
        )
    ).first()
    entry = audit.seal(
        initiative=book,
        sequence=last.sequence + 1 if last else 1,
        action=action,
        actor=actor,
        at=at,
        subject=subject,
        message=message,
        body=body,
        previous=last.hash if last else audit.GENESIS,
    )
    await connection.execute(insert(table).values(row_of(entry)))
    return entry
