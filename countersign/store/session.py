"""Connections: the one place that commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine


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
        self._url, self._pool_size = make_url(url), pool_size
        self._pool: asyncpg.Pool | None = None
        self._pooling = asyncio.Lock()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is committed whole at the end, or not at all."""
        with _noticing_absence():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for single-statement reads."""
        with _noticing_absence():
            async with self._autocommit.connect() as connection:
                yield connection

    async def statement(self, sql: str, *values: Any) -> list[asyncpg.Record]:
        """Execute one statement, which is a transaction of its own; ``values`` are those of ``$1``, ``$2`` and so on.

        Raises:
            asyncpg.PostgresError: the database refused it.
            RecordAway: PostgreSQL does not answer; the statement may have been committed.
        """
        with _noticing_absence():
            pool = self._pool or await self._connected()
            async with pool.acquire() as connection:
                try:
                    found: list[asyncpg.Record] = await connection.fetch(sql, *values)
                except asyncpg.InternalClientError:
                    # The server went away in the middle of something, and the driver lost count of what.
                    connection.terminate()
                    raise
                return found

    async def _connected(self) -> asyncpg.Pool:
        async with self._pooling:
            if self._pool is None:
                # Nothing is left behind by a single statement, so a connection need not be reset after it; and one
                # that was lost is noticed by its socket, without asking before each use.
                self._pool = await asyncpg.create_pool(
                    self._url.set(drivername="postgresql").render_as_string(hide_password=False),
                    min_size=0,
                    max_size=self._pool_size,
                    reset=_nothing_to_reset,
                    # In JSON an instant is written in the session's zone: instants are UTC with us.
                    server_settings={"jit": "off", "timezone": "UTC"},
                )
            return self._pool

    async def is_ready(self) -> bool:
        """Whether the record answers, with its schema."""
        try:
            async with self.reading() as connection:
                await connection.execute(text("SELECT 1 FROM agreement LIMIT 1"))
        except (RecordAway, DBAPIError):
            return False
        return True

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None
        await self._engine.dispose()


async def _nothing_to_reset(_: object) -> None:
    pass
