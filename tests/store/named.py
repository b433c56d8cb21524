"""Lives of long ago, of people whose names can be looked for in the whole record."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Text, cast, func, select, text

from countersign.domain import audit
from countersign.domain.facts import RecordRedacted
from countersign.domain.proposal import Proposal
from countersign.store import documents, record, retention, trail
from countersign.store import tables as t
from countersign.store.retention import Due
from countersign.store.session import Database
from tests.people import minimal_proposal
from tests.store.making import Steps, new_id

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LONG_AGO = datetime(2011, 3, 1, 9, tzinfo=UTC)


class Named(Steps):
    """A life of long ago, of a consortium whose people bear names that nobody else does."""

    def __init__(self, title: str = "A small project", names: str | None = None) -> None:
        self.names = names or new_id()
        body = minimal_proposal(title={"en": title})
        for partner in body["partners"]:
            partner["contact"] = self.person()
            partner["participants"] = [self.person(), self.person()]
        super().__init__(proposal=Proposal.model_validate(body))
        self.now = LONG_AGO
        self.proposals = [self.proposal]

    def person(self) -> dict[str, str]:
        return {"name": f"Plonit {self.names}", "email": f"plonit@{self.names}.example"}

    def another_version(self) -> None:
        self.revise()
        self.proposals.append(self.proposal)

    async def on_record(self, database: Database) -> Named:
        """Write all of it."""
        await self.prepare(database)
        async with database.transaction() as connection:
            for one in self.proposals:
                await documents.keep(connection, one.content_hash(), one.document_form())
        for step in self.steps:
            assert await record.append(database, step) == ()
        self.steps = []
        return self

    @property
    def id(self) -> str:
        return self.state.id


async def places_of(database: Database, names: str) -> list[str]:
    """The tables in which a text stands anywhere."""
    found: list[str] = []
    async with database.reading() as connection:
        for table in t.metadata.sorted_tables:
            row = func.to_jsonb(text(f'"{table.name}"'))
            number = await connection.scalar(
                select(func.count()).select_from(table).where(cast(row, Text).contains(names))
            )
            found += [table.name] if number else []
    return found


async def kept(database: Database, hash_: str) -> documents.Kept:
    """What is on record under a content hash."""
    async with database.reading() as connection:
        found = await documents.look_up(connection, hash_)
    assert found is not None
    return found


async def due(database: Database, *lives: Named, at: datetime = NOW) -> list[Due]:
    """What is due of some lives."""
    async with database.reading() as connection:
        return [one for one in await retention.due(connection, at) if one.id in {life.id for life in lives}]


async def redact(database: Database, life: Named, at: datetime = NOW) -> RecordRedacted | None:
    return await retention.redact(database, life.id, at, "operator")


async def entries_of(database: Database, life: Named) -> tuple[audit.AuditEntry, ...]:
    async with database.reading() as connection:
        return await trail.entries_from(connection, life.id)
