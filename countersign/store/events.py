"""Reading the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import literal, select, text, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t
from countersign.store.initiatives import takes_part


class Cursor(NamedTuple):
    """A place in the outbox: which transaction wrote an event, and at which position."""

    transaction: int
    position: int


BEGINNING = Cursor(0, 0)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event as it stands in the outbox."""

    cursor: Cursor
    initiative: str
    sequence: int
    type: str
    at: datetime
    data: dict[str, Any]


async def after(
    connection: AsyncConnection,
    cursor: Cursor,
    *,
    part_of: tuple[str, str | None] | None = None,
    limit: int = 500,
) -> Sequence[RecordedEvent]:
    """Events after a cursor; ``part_of`` limits them to what a person takes part in.

    Neither positions nor transaction ids are given in the order in which transactions commit. Only events of
    transactions older than every one under way are told, in the order of those: what comes later sorts later, so
    a reader who goes on from the last cursor misses none.
    """
    e = t.event.c
    settled = e.transaction < text("pg_snapshot_xmin(pg_current_snapshot())")
    here = tuple_(literal(cursor.transaction, t.TransactionId()), literal(cursor.position, e.position.type))
    statement = select(t.event).where(settled, tuple_(e.transaction, e.position) > here)
    if part_of is not None:
        statement = statement.join_from(t.event, t.initiative).where(takes_part(*part_of))
    rows = (await connection.execute(statement.order_by(e.transaction, e.position).limit(limit))).mappings()
    return [
        RecordedEvent(
            cursor=Cursor(int(row["transaction"]), row["position"]),
            initiative=str(row["initiative_id"]),
            sequence=row["sequence"],
            type=row["type"],
            at=row["at"],
            data=row["data"],
        )
        for row in rows
    ]
