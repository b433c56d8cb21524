"""Requests that were refused before they reached an initiative."""

from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t


async def record(
    connection: AsyncConnection,
    *,
    request_id: str,
    method: str,
    path: str,
    status: int,
    code: str,
    detail: str,
    person: str | None,
) -> None:
    """Put a refusal on record; what comes from anybody is cut to its length and freed of control characters."""
    await connection.execute(
        # Inline: whoever refuses is not given the number back, since the API may write refusals and read none.
        insert(t.refusal)
        .inline()
        .values(
            request_id=request_id,
            method=method[:10],
            path=_printable(path)[:500],
            status=status,
            code=code,
            detail=_printable(detail)[:2000],
            person=person,
        )
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
