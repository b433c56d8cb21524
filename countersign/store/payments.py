"""Payment instructions, each once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from countersign.domain.funding import Instruction
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
    rows = [
        {
            "end_to_end_id": one.end_to_end_id,
            "initiative_id": initiative,
            "tranche": tranche,
            "directorate": directorate,
            "minor": one.amount.minor,
            "unit": one.amount.unit,
            "instructed_at": at.isoformat(),
        }
        for one in instructions
    ]
    await database.statement(_INSTRUCT, json.dumps(rows))


_INSTRUCT: Final = """
INSERT INTO payment_instruction
SELECT * FROM jsonb_populate_recordset(NULL::payment_instruction, $1)
ON CONFLICT DO NOTHING
"""
