"""The trails of who looked into the record: one for each audit office's issuer, and one for the operators'.

A trail is written by one at a time: an audit office that takes away much keeps no other one waiting.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.audit import AuditEntry
from countersign.store import books
from countersign.store import tables as t

AUDITOR_SIGNED_IN: Final = "auditor.signed_in"
OPERATOR_SIGNED_IN: Final = "operator.signed_in"
TRAIL_EXPORTED: Final = "trail.exported"
TRAIL_EXPORT_ENDED: Final = "trail.export_ended"
HISTORY_EXPORTED: Final = "history.exported"
DOSSIER_EXPORTED: Final = "dossier.exported"
ATTACHMENT_DOWNLOADED: Final = "attachment.downloaded"
"""The actions of these trails; row security names them, too."""

SIGN_INS: Final = (AUDITOR_SIGNED_IN, OPERATOR_SIGNED_IN)


def book(person: str) -> str:
    """The id under which the trail of a person's issuer is kept; the database derives it as well (`access_book`)."""
    issuer = person.partition("/")[0]
    return str(UUID(bytes=hashlib.sha256(f"countersign access {issuer}".encode()).digest()[:16]))


async def sign_in(
    connection: AsyncConnection, action: str, person: str, at: datetime, sign_in: str, body: dict[str, Any]
) -> bool:
    """Put a sign-in on record, once however often and wherever it is seen; whether it was new.

    ``sign_in`` tells it from others and says nothing: the digest of what the person signed in with.
    """
    trail, e = book(person), t.audit_entry.c
    await books.one_at_a_time(connection, trail)
    # The action by itself, not as one of several: with it the index is found that holds sign-ins apart.
    known = select(e.sequence).where(e.initiative_id == trail, e.message == sign_in, e.action == action)
    if await connection.scalar(known.limit(1)) is not None:
        return False
    await books.append(connection, trail, action, person, at, body, message=sign_in)
    return True


async def export(
    connection: AsyncConnection,
    action: str,
    person: str,
    at: datetime,
    body: dict[str, Any],
    subject: str | None = None,
) -> AuditEntry:
    """Put on record that somebody takes something away."""
    await books.one_at_a_time(connection, book(person))
    return await books.append(connection, book(person), action, person, at, body, subject)
