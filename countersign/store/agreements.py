"""The programme agreements, every version that was ever in force here."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.agreement import ProgrammeAgreement
from countersign.store import tables as t


class AgreementChanged(Exception):
    """A version that is on record comes with other content: it needs a version number of its own."""


async def register(connection: AsyncConnection, agreement: ProgrammeAgreement) -> None:
    """Put a version on record; the same again changes nothing.

    Raises:
        AgreementChanged: when that version is on record with other content.
    """
    key, content = {"id": agreement.id, "version": agreement.version}, agreement.content_hash()
    row = {**key, "content_hash": content, "body": agreement.document_form()}
    await connection.execute(insert(t.agreement).values(row).on_conflict_do_nothing())
    on_record = await connection.scalar(select(t.agreement.c.content_hash).filter_by(**key))
    if on_record != content:
        raise AgreementChanged(f"{agreement.id} version {agreement.version} is on record with other content")


async def find(connection: AsyncConnection, identifier: str, version: int) -> ProgrammeAgreement | None:
    """A version on record."""
    body = await connection.scalar(select(t.agreement.c.body).filter_by(id=identifier, version=version))
    return None if body is None else ProgrammeAgreement.model_validate(body)
