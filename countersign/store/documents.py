"""Content by its hash."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t
from countersign.store.record import put_documents


async def keep(connection: AsyncConnection, content_hash: str, body: dict[str, Any]) -> None:
    """Keep a document; the same one again changes nothing."""
    await put_documents(connection, {content_hash: body})


async def find(connection: AsyncConnection, content_hash: str) -> dict[str, Any] | None:
    """The document with that hash."""
    found: dict[str, Any] | None = await connection.scalar(
        select(t.document.c.body).where(t.document.c.content_hash == content_hash)
    )
    return found
