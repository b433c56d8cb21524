"""Browser sessions: who is signed in with one, by the hash of what the browser was given.

Times are the database's, so that processes whose clocks differ agree on what is over.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import delete, func, insert, or_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import tables as t
from countersign.store.roles import SessionOf
from countersign.store.session import Database

SEEN_EVERY: Final = timedelta(minutes=1)
"""How often it is written down at most that a session was used."""

_COLUMNS: Final = (
    *("digest", "issuer", "subject", "sid", "person", "identity", "sealed"),
    *("seen_at", "idle_until", "access_until", "expires_at"),
)
_FIND: Final = f"SELECT {', '.join(_COLUMNS)}, now() AS at FROM session WHERE digest = $1"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Kept:
    """A session as it is kept; ``at`` is when it was read.

    ``access_until`` is until when the issuer's word on the person is good, ``sealed`` what asks for it anew.
    """

    digest: str
    issuer: str
    subject: str
    sid: str | None
    person: str
    identity: dict[str, Any]
    sealed: bytes
    seen_at: datetime
    idle_until: datetime
    access_until: datetime
    expires_at: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """A session to be kept; ``expires_at`` is none where it lasts as long as any."""

    digest: str
    issuer: str
    subject: str
    sid: str | None
    person: str
    identity: dict[str, Any]
    sealed: bytes
    access_until: datetime
    expires_at: datetime | None = None


async def find(database: Database, digest: str) -> Kept | None:
    """A session, over or not."""
    rows = await database.read_by(SessionOf(digest)).statement(_FIND, digest)
    return _kept(rows[0]) if rows else None


async def keep(database: Database, one: Opened, *, idle: timedelta, longest: timedelta) -> list[str]:
    """Keep a new session and throw away those that are over; the people whose they were."""
    s = t.session.c
    values, latest = asdict(one), func.now() + longest
    del values["expires_at"]
    async with database.read_by(SessionOf(one.digest)).transaction() as connection:
        over = delete(t.session).where(or_(s.expires_at <= func.now(), s.idle_until <= func.now()))
        ended = (await connection.scalars(over.returning(s.person))).all()
        await connection.execute(delete(t.once).where(t.once.c.expires_at <= func.now()))
        await connection.execute(
            insert(t.session)
            .inline()
            .values(
                **values,
                idle_until=func.now() + idle,
                expires_at=latest if one.expires_at is None else func.least(latest, one.expires_at),
            )
        )
    return list(ended)


async def touch(database: Database, digest: str, *, idle: timedelta) -> None:
    """A session is used; written down unless it just was."""
    s = t.session.c
    async with _own(database, digest).transaction() as connection:
        await connection.execute(
            update(t.session)
            .where(s.digest == digest, s.seen_at <= func.now() - SEEN_EVERY)
            .values(seen_at=func.now(), idle_until=func.now() + idle)
        )


async def begin_refresh(database: Database, digest: str, *, within: timedelta) -> Kept | None:
    """The session, for the one who is to ask its issuer anew and nobody else ``within`` that time."""
    s = t.session.c
    async with _own(database, digest).transaction() as connection:
        found = await connection.execute(
            update(t.session)
            .where(
                s.digest == digest,
                s.access_until <= func.now(),
                or_(s.refreshing_until.is_(None), s.refreshing_until <= func.now()),
            )
            .values(refreshing_until=func.now() + within)
            .returning(*(s[name] for name in _COLUMNS), func.now().label("at"))
        )
        row = found.mappings().first()
    return None if row is None else Kept(**row)


async def refreshed(
    database: Database, kept: Kept, *, identity: dict[str, Any], sealed: bytes, access_until: datetime
) -> bool:
    """What an issuer says anew of a session's person takes the place of what it said; whether there still is one."""
    values = {"identity": identity, "sealed": sealed, "access_until": access_until}
    return await _change(database, kept.digest, refreshing_until=None, **values)


async def give_up_refresh(database: Database, digest: str, sealed: bytes | None = None) -> None:
    """Let another one ask the issuer, with the new ``sealed`` if there is any."""
    values = {} if sealed is None else {"sealed": sealed}
    await _change(database, digest, refreshing_until=None, **values)


async def end(database: Database, digest: str) -> bool:
    """End a session; whether there was one."""
    async with _own(database, digest).transaction() as connection:
        gone = await connection.execute(delete(t.session).where(t.session.c.digest == digest))
    return bool(gone.rowcount)


async def end_those_of(
    database: Database, issuer: str, *, sid: str | None, subject: str | None, once: str, until: datetime
) -> list[str] | None:
    """End the sessions of an issuer with that ``sid``, or with that ``subject`` where there is none; whose they were.

    Args:
        once: the digest of what asks for it, which counts once until ``until``; None when it came before.
    """
    s = t.session.c
    named = [s.sid == sid] if sid is not None else []
    named += [s.subject == subject] if subject is not None else []
    meant = SessionOf(issuer=issuer, sid=sid, subject=subject)
    async with database.read_by(meant).transaction() as connection:
        if not await _is_first(connection, once, until):
            return None
        gone = delete(t.session).where(s.issuer == issuer, *named).returning(s.person)
        return list((await connection.scalars(gone)).all())


async def use_once(database: Database, digest: str, until: datetime) -> bool:
    """Whether this comes the first time until ``until``."""
    async with database.transaction() as connection:
        return await _is_first(connection, digest, until)


async def _is_first(connection: AsyncConnection, digest: str, until: datetime) -> bool:
    statement = upsert(t.once).inline().values(digest=digest, expires_at=until).on_conflict_do_nothing()
    return bool((await connection.execute(statement)).rowcount)


async def _change(database: Database, digest: str, **values: Any) -> bool:
    async with _own(database, digest).transaction() as connection:
        changed = await connection.execute(
            update(t.session).where(t.session.c.digest == digest).values(**values)
        )
    return bool(changed.rowcount)


def _own(database: Database, digest: str) -> Database:
    return database.read_by(SessionOf(digest))


def _kept(row: Any) -> Kept:
    values = dict(row)
    return Kept(**values | {"identity": json.loads(values["identity"])})
