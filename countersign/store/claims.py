"""One initiative per caller and Idempotency-Key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t


@dataclass(frozen=True, slots=True)
class Claim:
    """What a key stands for. ``fingerprint`` is the content that came with it first."""

    initiative: str
    reference: str
    fingerprint: str


async def claim(
    connection: AsyncConnection,
    *,
    caller: str,
    key: str,
    fingerprint: str,
    initiative: str,
    prefix: str,
    at: datetime,
) -> Claim:
    """The claim under that key: made now with the given initiative, or the one that was made before.

    Of callers at the same instant the second waits for the first here, on the row that both want.
    """
    values = {"caller": caller, "key": key, "fingerprint": fingerprint, "initiative_id": initiative}
    inserted = await connection.scalar(
        insert(t.claim)
        .values(**values, reference="")
        .on_conflict_do_nothing()
        .returning(t.claim.c.initiative_id)
    )
    if inserted is not None:
        reference = await _next_reference(connection, prefix, at.year)
        await connection.execute(
            t.claim.update()
            .where(t.claim.c.caller == caller, t.claim.c.key == key)
            .values(reference=reference)
        )
        return Claim(initiative, reference, fingerprint)
    row = (
        await connection.execute(
            select(t.claim.c.initiative_id, t.claim.c.reference, t.claim.c.fingerprint).filter_by(
                caller=caller, key=key
            )
        )
    ).one()
    return Claim(str(row.initiative_id), row.reference, row.fingerprint)


async def _next_reference(connection: AsyncConnection, prefix: str, year: int) -> str:
    statement = insert(t.reference_counter).values(prefix=prefix, year=year, last=1)
    number = await connection.scalar(
        statement.on_conflict_do_update(
            index_elements=["prefix", "year"], set_={"last": t.reference_counter.c.last + 1}
        ).returning(t.reference_counter.c.last)
    )
    return f"{prefix}-{year}-{number:04d}"
