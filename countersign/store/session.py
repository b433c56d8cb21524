"""Connections: the one place that commits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine


class RecordAway(Exception):
    """PostgreSQL does not answer; nothing of what was under way is committed."""


@contextmanager
def _noticing_absence() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError, OSError) as error:
        raise RecordAway(type(error).__name__) from error
    except DBAPIError as error:
        # 57P0x: the server says itself that it is starting or shutting down.
        if error.connection_invalidated or str(getattr(error.orig, "sqlstate", "")).startswith("57P"):
            raise RecordAway(type(error).__name__) from error
        raise


class Database:
    """One engine for a process: :meth:`transaction` to write, :meth:`reading` to read."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self._engine = create_async_engine(
            url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True
        )
        # Reads need no transaction of their own: each is one statement, and this saves BEGIN and ROLLBACK.
        self._autocommit = self._engine.execution_options(isolation_level="AUTOCOMMIT")

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

    async def is_ready(self) -> bool:
        """Whether the record answers, with its schema."""
        try:
            async with self.reading() as connection:
                await connection.execute(text("SELECT 1 FROM agreement LIMIT 1"))
        except (RecordAway, DBAPIError):
            return False
        return True

    async def close(self) -> None:
        await self._engine.dispose()
