"""Whether what is on record of an initiative is just what follows from its trail."""

from __future__ import annotations

from countersign.domain.verification import Fault
from countersign.store import verification as stored
from countersign.store.session import Database


async def faults_of(database: Database, initiative: str) -> list[Fault]:
    """What verification finds wrong with one initiative, as it is at this moment."""
    async with database.transaction() as connection:
        await stored.at_one_moment(connection)
        return [
            fault
            async for _, found in stored.trails(connection, initiative)
            for fault in found
            if fault.trail == initiative
        ]
