"""Payment instructions, each once, and the files in which banks are told of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.amounts import Amount
from countersign.domain.funding import BankOutcome, Instruction, Tranche
from countersign.store import tables as t
from countersign.store.session import Database


async def instruct(
    database: Database,
    *,
    initiative: str,
    tranche: int,
    directorate: str,
    instructions: Sequence[Instruction],
    at: datetime,
) -> None:
    """Put instructions on record under their end-to-end ids; those that are there already stay as they are."""
    rows = _rows(initiative, tranche, directorate, instructions)
    for row in rows:
        row["instructed_at"] = at.isoformat()
    await database.statement(_INSTRUCT, json.dumps(rows))


def _rows(
    initiative: str, tranche: int, directorate: str, instructions: Sequence[Instruction]
) -> list[dict[str, Any]]:
    return [
        {
            "end_to_end_id": one.end_to_end_id,
            "initiative_id": initiative,
            "tranche": tranche,
            "directorate": directorate,
            "minor": one.amount.minor,
            "unit": one.amount.unit,
        }
        for one in instructions
    ]


_INSTRUCT: Final = """
INSERT INTO payment_instruction
SELECT * FROM jsonb_populate_recordset(NULL::payment_instruction, $1)
ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Told:
    """A payment that a bank was told of, and what it said since."""

    initiative: str
    reference: str
    tranche: int
    directorate: str
    amount: Amount
    outcome: BankOutcome | None
    is_claim: bool = False


async def told(connection: AsyncConnection, end_to_end_ids: Collection[str]) -> dict[str, Told]:
    """What is on record under some end-to-end ids, of whatever side."""
    p, n = t.payment_instruction.c, t.tranche_seen.c
    statement = (
        select(t.payment_instruction, t.initiative.c.reference, n.body)
        .join_from(t.payment_instruction, t.initiative)
        .join(t.tranche_seen, (n.initiative_id == p.initiative_id) & (n.number == p.tranche))
        .where(p.end_to_end_id.in_(end_to_end_ids))
    )
    found: dict[str, Told] = {}
    for row in await connection.execute(statement):
        tranche = Tranche.model_validate(row.body)
        share = tranche.shares.get(row.directorate)
        known = share.instruction(row.end_to_end_id) if share is not None else None
        found[row.end_to_end_id] = Told(
            initiative=str(row.initiative_id),
            reference=row.reference,
            tranche=row.tranche,
            directorate=row.directorate,
            amount=Amount(row.minor, row.unit),
            outcome=known.outcome if known is not None else None,
            is_claim=tranche.is_recovery,
        )
    return found


class ToldOtherwise(Exception):
    """A bank was told of a payment in another file, or by no file at all."""


@dataclass(frozen=True, slots=True)
class File:
    """A file for a bank: which outbox it is for, the name under which it was staged there, and its content's hash."""

    message_id: str
    directorate: str
    content_hash: str
    outbox: str
    staged: str
    is_delivered: bool = False


async def find_file(database: Database, message_id: str) -> File | None:
    """The file with that message id, as it is on record."""
    async with database.reading() as connection:
        return await _file(connection, message_id)


async def begin_file(
    database: Database,
    file: File,
    *,
    initiative: str,
    tranche: int,
    instructions: Sequence[Instruction],
    at: datetime,
) -> File:
    """Put a file and its payments on record in one transaction; if somebody did before, theirs is what there is.

    Raises:
        ToldOtherwise: a payment of it was told before, and not in this file.
    """
    try:
        return await _begin_file(database, file, initiative, tranche, instructions, at)
    except IntegrityError as error:
        raise ToldOtherwise("a payment of it was told in another way") from error


async def _begin_file(
    database: Database,
    file: File,
    initiative: str,
    tranche: int,
    instructions: Sequence[Instruction],
    at: datetime,
) -> File:
    async with database.transaction() as connection:
        begun = await connection.scalar(
            upsert(t.payment_file)
            .values(
                message_id=file.message_id,
                directorate=file.directorate,
                content_hash=file.content_hash,
                outbox=file.outbox,
                staged=file.staged,
                created_at=at,
            )
            .on_conflict_do_nothing()
            .returning(t.payment_file.c.message_id)
        )
        if begun is not None:
            told = {"instructed_at": at, "message_id": file.message_id}
            rows = [row | told for row in _rows(initiative, tranche, file.directorate, instructions)]
            await connection.execute(insert(t.payment_instruction), rows)
            return file
        found = await _file(connection, file.message_id)
    if found is None:
        raise LookupError(f"the file {file.message_id} is gone from the record")
    return found


async def delivered(database: Database, message_id: str) -> None:
    """The file is in the outbox."""
    f = t.payment_file.c
    async with database.transaction() as connection:
        await connection.execute(
            update(t.payment_file)
            .where(f.message_id == message_id, f.delivered_at.is_(None))
            .values(delivered_at=func.now())
        )


async def _file(connection: AsyncConnection, message_id: str) -> File | None:
    statement = select(t.payment_file).where(t.payment_file.c.message_id == message_id)
    row = (await connection.execute(statement)).first()
    if row is None:
        return None
    return File(
        message_id=row.message_id,
        directorate=row.directorate,
        content_hash=row.content_hash,
        outbox=str(row.outbox),
        staged=row.staged,
        is_delivered=row.delivered_at is not None,
    )
