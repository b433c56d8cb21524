"""A state machine in an ORM: the row of the initiative, its version counted up, and an INSERT, in one transaction.

The cheapest honest baseline. What it has not: a history to replay, timers, retries of effects, anything that goes on by
itself after a crash.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from benchmarks.peers.common import BenchMessage, Sent, Task, run


class Base(DeclarativeBase):
    pass


class Initiative(Base):
    """Where an initiative stands; of two transactions with the same version of it, one fails."""

    __tablename__ = "initiative"
    id: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str]
    taken: Mapped[int]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - the name and the form are SQLAlchemy's

    def take(self, message: BenchMessage, last: int) -> None:
        """The one transition: a running initiative takes a message, and is over with its last."""
        if self.state != "running":
            raise ValueError(f"{self.id} is {self.state}")
        self.taken += 1
        if self.taken == last:
            self.state = f"closed by {message.name}"


class Record(Base):
    __tablename__ = "message"
    initiative: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int]
    name: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSONB)
    taken_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Orm:
    def __init__(self, sessions: async_sessionmaker[AsyncSession], last: int) -> None:
        self._sessions = sessions
        self._last = last

    async def begin(self, initiative: str) -> None:
        async with self._sessions.begin() as session:
            session.add(Initiative(id=initiative, state="running", taken=0))

    async def take(self, initiative: str, sent: Sent) -> int:
        message = BenchMessage.model_validate(sent)
        async with self._sessions.begin() as session:
            row = await session.get_one(Initiative, initiative)
            row.take(message, self._last)
            session.add(
                Record(
                    initiative=initiative,
                    id=message.id,
                    number=row.taken,
                    name=message.name,
                    body=message.body,
                )
            )
        return row.taken


@asynccontextmanager
async def opened(task: Task) -> AsyncIterator[Orm]:
    """With a connection for each client, so that none waits for another's."""
    engine = create_async_engine(task.url("postgresql+asyncpg"), pool_size=task.at_once, max_overflow=0)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        yield Orm(async_sessionmaker(engine, expire_on_commit=False), len(task.messages))
    finally:
        await engine.dispose()


if __name__ == "__main__":
    run("orm", "sqlalchemy", opened)
