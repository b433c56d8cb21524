"""Mandates, and the trail of each directorate's mandates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import AuditEntry
from countersign.domain.mandate import Mandate
from countersign.store import books
from countersign.store import tables as t
from countersign.store.trail import COLUMNS, entry_of

_BOOKS: Final = UUID("6a4f1f9c-52a3-5d0c-9f0e-3c1f0c8a7b11")

GIVEN: Final = "mandate.given"
REVOKED: Final = "mandate.revoked"
"""The actions of that trail."""


def book(directorate: str) -> str:
    """The id under which the trail of a directorate's mandates is kept, beside those of initiatives."""
    return str(uuid5(_BOOKS, directorate))


async def give(connection: AsyncConnection, mandate: Mandate) -> Mandate:
    """Put a mandate on record; the same id again changes nothing and gives the one on record."""
    await _one_at_a_time(connection, mandate.directorate)
    found = await find(connection, mandate.id)
    if found is not None:
        return found
    row = {
        "id": mandate.id,
        "directorate": mandate.directorate,
        "delegator": mandate.delegator,
        "delegate": mandate.delegate,
        "valid_from": mandate.valid_from,
        "valid_to": mandate.valid_to,
        "body": mandate.model_dump(mode="json"),
    }
    await connection.execute(insert(t.mandate).values(row))
    await _entry(connection, mandate, GIVEN, mandate.delegator, mandate.given_at)
    return mandate


async def revoke(connection: AsyncConnection, mandate: Mandate, by: str, at: datetime) -> Mandate:
    """End a mandate at once; one that is revoked stays as it was revoked."""
    await _one_at_a_time(connection, mandate.directorate)
    on_record = await find(connection, mandate.id)
    if on_record is None or on_record.revoked_at is not None:
        return on_record or mandate
    revoked = on_record.model_copy(update={"revoked_at": at})
    await connection.execute(
        update(t.mandate)
        .where(t.mandate.c.id == mandate.id)
        .values(revoked_at=at, body=revoked.model_dump(mode="json"))
    )
    await _entry(connection, revoked, REVOKED, by, at)
    return revoked


async def find(connection: AsyncConnection, identifier: str) -> Mandate | None:
    """One mandate."""
    body = await connection.scalar(select(t.mandate.c.body).where(t.mandate.c.id == identifier))
    return None if body is None else Mandate.model_validate(body)


async def between(connection: AsyncConnection, delegator: str, delegate: str) -> list[Mandate]:
    """The mandates that one person gave another, the newest first; more than a hundred are nobody's need."""
    statement = (
        select(t.mandate.c.body)
        .where(t.mandate.c.delegator == delegator, t.mandate.c.delegate == delegate)
        .order_by(t.mandate.c.valid_to.desc())
        .limit(100)
    )
    return _mandates((await connection.scalars(statement)).all())


async def listed(
    connection: AsyncConnection,
    *,
    directorate: str | None = None,
    person: str | None = None,
    limit: int = 200,
) -> list[Mandate]:
    """Mandates, the newest first: of one directorate, or that a person gave or was given."""
    statement = select(t.mandate.c.body).order_by(t.mandate.c.valid_to.desc()).limit(limit)
    if directorate is not None:
        statement = statement.where(t.mandate.c.directorate == directorate)
    if person is not None:
        statement = statement.where(or_(t.mandate.c.delegator == person, t.mandate.c.delegate == person))
    return _mandates((await connection.scalars(statement)).all())


async def in_force(connection: AsyncConnection, delegate: str, now: datetime) -> list[Mandate]:
    """What a person may sign for others now."""
    m = t.mandate.c
    statement = select(m.body).where(
        m.delegate == delegate, m.valid_from <= now, m.valid_to > now, m.revoked_at.is_(None)
    )
    return _mandates((await connection.scalars(statement)).all())


def _mandates(bodies: Sequence[Any]) -> list[Mandate]:
    return [Mandate.model_validate(body) for body in bodies]


async def entries(connection: AsyncConnection, mandate: Mandate) -> list[AuditEntry]:
    """What its directorate's trail says of a mandate: that it was given, and revoked if it was."""
    e = t.audit_entry.c
    rows = await connection.execute(
        select(*COLUMNS)
        .where(e.initiative_id == book(mandate.directorate), e.body["id"].as_string() == mandate.id)
        .order_by(e.sequence)
    )
    return [entry_of(dict(row)) for row in rows.mappings()]


async def _one_at_a_time(connection: AsyncConnection, directorate: str) -> None:
    await books.one_at_a_time(connection, book(directorate))


async def _entry(
    connection: AsyncConnection, mandate: Mandate, action: str, actor: str, at: datetime
) -> None:
    body = mandate.model_dump(mode="json", exclude_none=True)
    await books.append(connection, book(mandate.directorate), action, actor, at, body)
