"""Reading the audit trail."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import AuditEntry
from countersign.store import tables as t

_COLUMNS = [one for one in t.audit_entry.columns if one.name != "position"]


async def entries_from(
    connection: AsyncConnection, initiative: str, sequence: int = 1, limit: int | None = None
) -> tuple[AuditEntry, ...]:
    """An initiative's entries from ``sequence`` on, in order."""
    rows = await connection.execute(
        select(*_COLUMNS)
        .where(t.audit_entry.c.initiative_id == initiative, t.audit_entry.c.sequence >= sequence)
        .order_by(t.audit_entry.c.sequence)
        .limit(limit)
    )
    return tuple(_entry(dict(row)) for row in rows.mappings())


async def find_message(
    connection: AsyncConnection, initiative: str, actor: str, message: str
) -> AuditEntry | None:
    """The entry that answers a message of somebody's."""
    rows = await connection.execute(
        select(*_COLUMNS)
        .where(
            t.audit_entry.c.initiative_id == initiative,
            t.audit_entry.c.message == message,
            t.audit_entry.c.actor == actor,
        )
        .limit(1)
    )
    row = rows.mappings().first()
    return None if row is None else _entry(dict(row))


def row_of(entry: AuditEntry) -> dict[str, Any]:
    """The row that an entry is written as."""
    row = entry.model_dump()
    row["initiative_id"] = row.pop("initiative")
    return row


def _entry(row: dict[str, Any]) -> AuditEntry:
    row["initiative"] = str(row.pop("initiative_id"))
    return AuditEntry(**row)
