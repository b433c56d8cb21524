"""Connections: the one place that commits."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from countersign.store.roles import API, WORKER, Reader, SessionOf


class RecordAway(Exception):
    """PostgreSQL does not answer; nothing of what was under way is committed."""


@contextmanager
def _noticing_absence() -> Iterator[None]:
    try:
        yield
    except (
        OperationalError,
        InterfaceError,
        OSError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        asyncpg.PostgresConnectionError,
        asyncpg.OperatorInterventionError,
    ) as error:
        raise RecordAway(type(error).__name__) from error
    except DBAPIError as error:
        # 57P0x: the server says itself that it is starting or shutting down.
        if error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith("57P"):
            raise RecordAway(type(error).__name__) from error
        raise


class NotBound(Exception):
    """The role that was connected as is not bound to its reader: it owns the tables, is a superuser or a worker."""


_READER: Final = text("SELECT set_config('countersign.reader', :reader, true)")
"""For the transaction only: with its end, whatever that was, nothing of it is left on the connection."""

_BOUND: Final = text(
    "SELECT current_user AS role, row_security_active('initiative') AND NOT pg_has_role(:worker, 'MEMBER') AS bound"
)

_READ_BY: Final = """
SELECT fenced.* FROM (SELECT * FROM ({sql}) AS asked OFFSET 0) AS fenced
WHERE (SELECT set_config('countersign.reader', ${last}, true)) IS NOT NULL
"""
"""Who reads, and what, in one statement and so in one round trip.

The condition names no row, so it is decided once and before anything behind the fence, which ``OFFSET 0`` is to the
planner, is begun. Were it ever decided later, nobody would have been named yet, and nothing found.
"""


class Database:
    """One engine for a process: :meth:`transaction` to write, :meth:`reading` to read.

    What every message pays for goes through :meth:`statement`: one round trip, on the driver itself.
    """

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self._engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            # What is searched for differs much in how often it occurs: a plan for all values serves none of them.
            connect_args={"server_settings": {"plan_cache_mode": "force_custom_plan", "jit": "off"}},
        )
        # Reads need no transaction of their own: each is one statement, and this saves BEGIN and ROLLBACK.
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self._at_once = self._engine.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        self._pool = _Pool(url, pool_size)
        self._reader: str | None = None

    def read_by(self, reader: Reader | SessionOf) -> Database:
        """The same database, on the same connections, as somebody may see it: what row security lets through.

        Only the API's role is bound by it; for a worker's it changes nothing.
        """
        bound = copy.copy(self)
        bound._reader = reader.setting
        return bound

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is committed whole at the end, or not at all."""
        with _noticing_absence():
            async with self._engine.begin() as connection:
                if self._reader is not None:
                    await connection.execute(_READER, {"reader": self._reader})
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single-statement reads."""
        with _noticing_absence():
            if self._reader is not None:
                # Who reads is told to a transaction, so that it ends with it.
                async with self._engine.connect() as connection:
                    await connection.execute(_READER, {"reader": self._reader})
                    yield connection
                return
            async with self._autocommit.connect() as connection:
                yield connection

    @asynccontextmanager
    async def one_moment(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees the record as it is now until the block ends, however much is recorded meanwhile.

        For reads that have to fit together. It holds one snapshot, so nothing slow belongs inside.
        """
        with _noticing_absence():
            async with self._at_once.connect() as connection:
                if self._reader is not None:
                    await connection.execute(_READER, {"reader": self._reader})
                yield connection

    async def statement(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Execute one statement, which is a transaction of its own; ``values`` are those of ``$1``, ``$2`` and so on.

        With a reader it has to be a query.

        Raises:
            asyncpg.PostgresError: the database refused it.
            RecordAway: PostgreSQL does not answer; the statement may have been committed.
        """
        if self._reader is not None:
            sql, values = _READ_BY.format(sql=sql, last=len(values) + 1), (*values, self._reader)
        with _noticing_absence():
            pool = await self._pool.connected()
            async with pool.acquire() as connection:
                try:
                    found: list[asyncpg.Record] = await connection.fetch(sql, *values)
                except asyncpg.InternalClientError:
                    # The server went away in the middle of something, and the driver lost count of what.
                    connection.terminate()
                    raise
                return found

    async def is_ready(self) -> bool:
        """Whether the record answers, with its schema."""
        try:
            async with self.reading() as connection:
                await connection.execute(text("SELECT 1 FROM agreement LIMIT 1"))
        except (RecordAway, DBAPIError):
            return False
        return True

    async def check_bound(self) -> None:
        """Make sure that row security bounds the role that was connected as to its reader.

        Raises:
            NotBound: it does not.
        """
        async with self.reading() as connection:
            row = (await connection.execute(_BOUND, {"worker": WORKER})).one()
        if not row.bound:
            raise NotBound(f"row security does not hold for {row.role}; connect as a member of {API} alone")

    async def close(self) -> None:
        await self._pool.close()
        await self._engine.dispose()


class _Pool:
    """The driver's own connections, made when they are first asked for."""

    def __init__(self, url: str, size: int) -> None:
        self._url, self._size = make_url(url), size
        self._pool: asyncpg.Pool | None = None
        self._pooling = asyncio.Lock()

    async def connected(self) -> asyncpg.Pool:
        if self._pool is not None:
            return self._pool
        async with self._pooling:
            if self._pool is None:
                # Nothing is left behind by a single statement, so a connection need not be reset after it; and one
                # that was lost is noticed by its socket, without asking before each use.
                self._pool = await asyncpg.create_pool(
                    self._url.set(drivername="postgresql").render_as_string(hide_password=False),
                    min_size=0,
                    max_size=self._size,
                    reset=_nothing_to_reset,
                    # In JSON an instant is written in the session's zone: instants are UTC with us.
                    server_settings={"jit": "off", "timezone": "UTC"},
                )
            return self._pool

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None


async def _nothing_to_reset(_: object) -> None:
    pass
