"""Content by its hash."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t
from countersign.store.record import put_documents


async def keep(connection: AsyncConnection, content_hash: str, body: dict[str, Any]) -> None:
    """Keep a document; the same one again changes nothing."""
    await put_documents(connection, {content_hash: body})


@dataclass(frozen=True, slots=True)
class Kept:
    """A document; once it is redacted, its content hash is no longer that of its body, but of what it was before."""

    body: dict[str, Any]
    redacted_at: datetime | None


async def look_up(connection: AsyncConnection, content_hash: str) -> Kept | None:
    """The document with that hash, and whether it is redacted."""
    d = t.document.c
    row = (
        await connection.execute(select(d.body, d.redacted_at).where(d.content_hash == content_hash))
    ).first()
    return None if row is None else Kept(*row)


async def find(connection: AsyncConnection, content_hash: str) -> dict[str, Any] | None:
    """The body of the document with that hash."""
    found = await look_up(connection, content_hash)
    return None if found is None else found.body


async def among(connection: AsyncConnection, hashes: Collection[str]) -> dict[str, Kept]:
    """Those of some hashes that are a document's, each with it."""
    d = t.document.c
    rows = await connection.execute(
        select(d.content_hash, d.body, d.redacted_at).where(d.content_hash.in_(hashes))
    )
    return {content_hash: Kept(body, redacted_at) for content_hash, body, redacted_at in rows}
