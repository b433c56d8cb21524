"""Payment instructions, each once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.funding import Instruction
from countersign.store import tables as t


async def instruct(
    connection: AsyncConnection,
    *,
    initiative: str,
    tranche: int,
    directorate: str,
    instructions: Sequence[Instruction],
    at: datetime,
) -> None:
    """Put instructions on record under their end-to-end ids; those that are there already stay as they are."""
    rows = [
        {
            "end_to_end_id": one.end_to_end_id,
            "initiative_id": initiative,
            "tranche": tranche,
            "directorate": directorate,
            "minor": one.amount.minor,
            "unit": one.amount.unit,
            "instructed_at": at,
        }
        for one in instructions
    ]
    await connection.execute(insert(t.payment_instruction).on_conflict_do_nothing(), rows)
