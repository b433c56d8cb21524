"""Content by its hash."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, text
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


async def look_up(connection: AsyncConnection, content_hash: str, *, of: str | None = None) -> Kept | None:
    """The document with that hash, and whether it is redacted.

    ``of`` is the initiative, by its id, that names it: whom the database reads for then has to be one who sees that
    initiative. Without it they have to be one who sees the programme.
    """
    if of is None:
        d = t.document.c
        asked = connection.execute(select(d.body, d.redacted_at).where(d.content_hash == content_hash))
    else:
        asked = connection.execute(_NAMED, {"initiative": of, "hash": content_hash})
    row = (await asked).first()
    return None if row is None else Kept(*row)


_NAMED: Final = text("SELECT body, redacted_at FROM document_of(:initiative, :hash)").columns(
    t.document.c.body, t.document.c.redacted_at
)
"""The database looks for it in the record of that initiative only."""


async def find(
    connection: AsyncConnection, content_hash: str, *, of: str | None = None
) -> dict[str, Any] | None:
    """The body of the document with that hash; ``of`` is as for :func:`look_up`."""
    found = await look_up(connection, content_hash, of=of)
    return None if found is None else found.body


async def among(connection: AsyncConnection, hashes: Collection[str]) -> dict[str, Kept]:
    """Those of some hashes that are a document's, each with it."""
    d = t.document.c
    rows = await connection.execute(
        select(d.content_hash, d.body, d.redacted_at).where(d.content_hash.in_(hashes))
    )
    return {content_hash: Kept(body, redacted_at) for content_hash, body, redacted_at in rows}
