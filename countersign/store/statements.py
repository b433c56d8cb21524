"""Imports of banks' statements, and the trail of each directorate's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import books
from countersign.store import tables as t

_BOOKS: Final = UUID("5d0b2f64-8c0e-5b8f-b3f2-2f6b1c7f9a10")

IMPORTED: Final = "bank_statement.imported"
"""The action of that trail."""


@dataclass(frozen=True, slots=True)
class Import:
    """An import by its caller and key. ``result`` is there once it has ended; ``is_new`` when it begins now."""

    content_hash: str
    begun_at: datetime
    result: dict[str, Any] | None
    is_new: bool


def book(directorate: str) -> str:
    """The id under which the trail of a directorate's imports is kept."""
    return str(uuid5(_BOOKS, directorate))


async def begin(
    connection: AsyncConnection,
    *,
    directorate: str,
    content_hash: str,
    imported_by: str,
    key: str,
    at: datetime,
) -> Import:
    """Begin an import, or find the one that the same caller began under the same key."""
    values = {"directorate": directorate, "content_hash": content_hash, "begun_at": at}
    begun = await connection.scalar(
        insert(t.bank_statement)
        .values(imported_by=imported_by, key=key, **values)
        .on_conflict_do_nothing()
        .returning(t.bank_statement.c.key)
    )
    if begun is not None:
        return Import(content_hash, at, None, is_new=True)
    statement = select(t.bank_statement).filter_by(imported_by=imported_by, key=key)
    row = (await connection.execute(statement)).one()
    return Import(row.content_hash, row.begun_at, row.result, is_new=False)


async def was_imported(connection: AsyncConnection, directorate: str, content_hash: str) -> bool:
    """Whether the directorate has imported that content before, to its end and with nothing of it refused."""
    s = t.bank_statement.c
    found = exists().where(
        s.directorate == directorate,
        s.content_hash == content_hash,
        s.ended_at.is_not(None),
        ~s.result["counts"].has_key("refused"),
    )
    return bool(await connection.scalar(select(found)))


async def end(
    connection: AsyncConnection,
    *,
    directorate: str,
    imported_by: str,
    key: str,
    at: datetime,
    result: dict[str, Any],
) -> None:
    """Put the result of an import on record, once, and what it comes to into the directorate's trail."""
    s, trail = t.bank_statement.c, book(directorate)
    await books.one_at_a_time(connection, trail)
    content_hash = await connection.scalar(
        update(t.bank_statement)
        .where(s.imported_by == imported_by, s.key == key, s.ended_at.is_(None))
        .values(ended_at=at, result=result)
        .returning(s.content_hash)
    )
    if content_hash is not None:
        body = {"directorate": directorate, "again": result["again"], "counts": result["counts"]}
        await books.append(connection, trail, IMPORTED, imported_by, at, body, subject=content_hash)
