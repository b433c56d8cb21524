"""Who looks into the record is on record: auditors and operators who sign in, and what auditors take away.

It is written before anything is given out, and if it cannot be, nothing is.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from countersign.api.errors import Problem
from countersign.api.identity import REMEMBERED, Identity, Proof
from countersign.domain.audit import rfc3339
from countersign.store import accesses
from countersign.store.accesses import AUDITOR_SIGNED_IN, OPERATOR_SIGNED_IN
from countersign.store.initiatives import Initiative
from countersign.store.roles import Reader
from countersign.store.session import Database, RecordAway

log = structlog.get_logger(__name__)

_SIGN_INS: Final = {"auditor": AUDITOR_SIGNED_IN, "operator": OPERATOR_SIGNED_IN}
"""By the role of those whose sign-ins are on record; of nobody else is it asked for here."""


class Accesses:
    """Writes the trails of who looked into the record."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, None] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def with_token(self, proof: Proof) -> None:
        """Put the first use of a bearer token on record, if its person is one of those of whom it is.

        Every process may see it first, and every one but the first finds it there.

        Raises:
            Problem: ``unavailable``.
        """
        if proof.identity.role not in _SIGN_INS or proof.digest in self._seen:
            return
        await self._signed_in(proof.identity, "token", proof.issuer.url, proof.digest, proof.until)
        if len(self._seen) >= REMEMBERED:
            self._seen.pop(next(iter(self._seen)))
        self._seen[proof.digest] = None

    async def with_browser(self, proof: Proof, session: str, until: datetime) -> None:
        """Put on record that a browser's session begins, if its person is one of those of whom it is.

        ``session`` is the digest of its secret; it ends by itself ``until`` then, if it is not used or ended before.

        Raises:
            Problem: ``unavailable``.
        """
        if proof.identity.role in _SIGN_INS:
            digest = hashlib.sha256(f"session {session}".encode()).hexdigest()
            await self._signed_in(proof.identity, "browser", proof.issuer.url, digest, until)

    async def exported(self, reader: Reader, action: str, *, subject: str | None = None, **said: Any) -> int:
        """Put on record what an auditor takes away, before it is given out; the sequence of the entry.

        Raises:
            Problem: ``unavailable``.
        """
        body = {key: value for key, value in said.items() if value is not None}
        async with self._writing(reader) as connection:
            entry = await accesses.export(connection, action, reader.person, datetime.now(UTC), body, subject)
        return entry.sequence

    async def ended(self, reader: Reader, action: str, **said: Any) -> None:
        """Put on record how it ended; also when whoever asked is gone, and nobody waits for this any more."""
        task = asyncio.create_task(self._ended(reader, action, said))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        await asyncio.shield(task)

    async def close(self) -> None:
        """Wait for what is still being written."""
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _ended(self, reader: Reader, action: str, said: dict[str, Any]) -> None:
        try:
            await self.exported(reader, action, **said)
        except Problem:
            log.warning("export_end_not_recorded", person=reader.person, action=action, **said)

    async def _signed_in(self, me: Identity, how: str, issuer: str, digest: str, until: datetime) -> None:
        body = {"with": how, "issuer": issuer, "until": rfc3339(until)}
        if me.directorate is not None:
            body["directorate"] = me.directorate
        async with self._writing(me.reader) as connection:
            action, now = _SIGN_INS[me.role], datetime.now(UTC)
            await accesses.sign_in(connection, action, me.person, now, digest, body)

    @asynccontextmanager
    async def _writing(self, reader: Reader) -> AsyncIterator[Any]:
        try:
            async with self._database.read_by(reader).transaction() as connection:
                yield connection
        except (SQLAlchemyError, RecordAway) as error:
            log.warning("access_not_recorded", person=reader.person, error=type(error).__name__)
            raise Problem(
                "unavailable", "it cannot be put on record, and so nothing is given out; try again"
            ) from error


def of(initiative: Initiative) -> dict[str, str]:
    """An initiative as entries name it."""
    return {"initiative": initiative.id, "reference": initiative.reference}
