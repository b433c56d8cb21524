"""Reading the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import AuditEntry
from countersign.store import tables as t

COLUMNS = [one for one in t.audit_entry.columns if one.name != "position"]
"""Of an entry; its position is that of the row, and in no hash."""


async def entries_from(
    connection: AsyncConnection, initiative: str, sequence: int = 1, limit: int | None = None
) -> tuple[AuditEntry, ...]:
    """An initiative's entries from ``sequence`` on, in order."""
    rows = await connection.execute(
        select(*COLUMNS)
        .where(t.audit_entry.c.initiative_id == initiative, t.audit_entry.c.sequence >= sequence)
        .order_by(t.audit_entry.c.sequence)
        .limit(limit)
    )
    return tuple(entry_of(dict(row)) for row in rows.mappings())


async def find_message(
    connection: AsyncConnection, initiative: str, actor: str, message: str
) -> AuditEntry | None:
    """The entry that answers a message of somebody's."""
    rows = await connection.execute(
        select(*COLUMNS)
        .where(
            t.audit_entry.c.initiative_id == initiative,
            t.audit_entry.c.message == message,
            t.audit_entry.c.actor == actor,
        )
        .limit(1)
    )
    row = rows.mappings().first()
    return None if row is None else entry_of(dict(row))


class Place(NamedTuple):
    """Where an entry stands among those of the whole programme: its instant, as it is hashed, and its position."""

    at: str
    position: int


@dataclass(frozen=True, slots=True)
class Found:
    """An entry of any trail; ``reference`` is that of its initiative, none for a directorate's mandates."""

    place: Place
    reference: str | None
    entry: AuditEntry


async def search(
    connection: AsyncConnection,
    *,
    actor: str | None = None,
    action: str | None = None,
    initiative: str | None = None,
    since: str | None = None,
    until: str | None = None,
    before: Place | None = None,
    limit: int = 50,
) -> list[Found]:
    """Entries of the whole programme, the latest first, from ``since`` up to but not at ``until`` (as they are hashed).

    ``before`` is the place of the last entry seen. What is recorded meanwhile is later than that, so a reader who
    goes back from page to page misses nothing that was there at the beginning.
    """
    wanted = searching(
        actor=actor,
        action=action,
        initiative=initiative,
        since=since,
        until=until,
        before=before,
        limit=limit,
    )
    return [_found(row) for row in (await connection.execute(wanted)).mappings()]


def searching(
    *,
    actor: str | None = None,
    action: str | None = None,
    initiative: str | None = None,
    since: str | None = None,
    until: str | None = None,
    before: Place | None = None,
    limit: int = 50,
) -> Select[Any]:
    """The statement of :func:`search`."""
    e = t.audit_entry.c
    exact = {"actor": actor, "action": action, "initiative_id": initiative}
    statement = (
        select(*COLUMNS, e.position, t.initiative.c.reference)
        .join_from(t.audit_entry, t.initiative, e.initiative_id == t.initiative.c.id, isouter=True)
        .where(*(e[name] == value for name, value in exact.items() if value is not None))
        .order_by(e.at.desc(), e.position.desc())
        .limit(limit)
    )
    if since is not None:
        statement = statement.where(e.at >= since)
    if until is not None:
        statement = statement.where(e.at < until)
    if before is not None:
        here = tuple_(literal(before.at, e.at.type), literal(before.position, e.position.type))
        statement = statement.where(tuple_(e.at, e.position) < here)
    return statement


def _found(row: Mapping[Any, Any]) -> Found:
    values = dict(row)
    position, reference = values.pop("position"), values.pop("reference")
    entry = entry_of(values)
    return Found(Place(entry.at, position), reference, entry)


def row_of(entry: AuditEntry) -> dict[str, Any]:
    """The row that an entry is written as."""
    row = entry.model_dump()
    row["initiative_id"] = row.pop("initiative")
    return row


def entry_of(row: dict[str, Any]) -> AuditEntry:
    """The entry of a row."""
    row["initiative"] = str(row.pop("initiative_id"))
    return AuditEntry(**row)
