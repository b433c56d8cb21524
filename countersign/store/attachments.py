"""Which attachments there are, who brought them, and which initiatives name them; their bytes are kept elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ARRAY, Text, and_, bindparam, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t


@dataclass(frozen=True, slots=True)
class Attachment:
    """Content that is kept, or was: ``size`` in bytes, ``media_type`` as its content was told."""

    content_hash: str
    media_type: str
    size: int
    created_at: datetime
    erased_at: datetime | None


@dataclass(frozen=True, slots=True)
class Named:
    """An attachment as an initiative names it, and the entry of its trail that put it on record."""

    attachment: Attachment
    sequence: int
    name: str | None
    kind: str | None


async def keep(connection: AsyncConnection, content_hash: str, media_type: str, size: int) -> None:
    """Put on record that the reader brought this content; its row is locked until the transaction ends."""
    values = {"hash": content_hash, "type": media_type, "bytes": size}
    await connection.execute(text("SELECT keep_attachment(:hash, :type, :bytes)"), values)


async def loose(connection: AsyncConnection) -> int:
    """Bytes that the reader brought and that no initiative names."""
    found: int = (await connection.execute(text("SELECT loose_attachments()"))).scalar_one()
    return found


async def find(connection: AsyncConnection, content_hash: str) -> Attachment | None:
    """An attachment, as far as the reader may see it."""
    row = (await connection.execute(select(*_SEEN).where(_A.content_hash == content_hash))).first()
    return None if row is None else Attachment(*row)


async def brought(connection: AsyncConnection, content_hash: str, person: str) -> Attachment | None:
    """An attachment that somebody brought themselves, unless it was erased since."""
    u = t.attachment_upload.c
    by = exists().where(u.content_hash == _A.content_hash, u.person == person)
    wanted = select(*_SEEN).where(_A.content_hash == content_hash, _A.erased_at.is_(None), by)
    row = (await connection.execute(wanted)).first()
    return None if row is None else Attachment(*row)


async def named(connection: AsyncConnection, initiative: str) -> list[Named]:
    """Everything that an initiative names, in the order in which it came on record."""
    n = t.initiative_attachment
    rows = await connection.execute(
        select(*_SEEN, n.c.sequence, n.c.name, n.c.kind)
        .join_from(n, t.attachment, n.c.content_hash == _A.content_hash)
        .where(n.c.initiative_id == initiative)
        .order_by(n.c.sequence, n.c.place)
    )
    width = len(_SEEN)
    return [Named(Attachment(*row[:width]), *row[width:]) for row in rows]


async def missing(
    connection: AsyncConnection, hashes: Sequence[str], person: str, initiative: str | None
) -> set[str]:
    """Which of these neither were brought by that person nor are named by that initiative already, or are erased."""
    if not hashes:
        return set()
    u, n = t.attachment_upload.c, t.initiative_attachment.c
    wanted = func.unnest(bindparam("hashes", list(hashes), ARRAY(Text))).column_valued("wanted")
    mine = exists().where(u.content_hash == wanted, u.person == person)
    has = exists().where(n.content_hash == wanted, n.initiative_id == initiative)
    kept = exists().where(and_(_A.content_hash == wanted, _A.erased_at.is_(None)))
    return set(await connection.scalars(select(wanted).where(~(kept & (mine | has)))))


_A: Final = t.attachment.c
_SEEN: Final = (_A.content_hash, _A.media_type, _A.size, _A.created_at, _A.erased_at)
