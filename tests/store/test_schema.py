"""The schema: made by migrations, and refusing what must not be done to the record."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest
from alembic import command
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from countersign.domain import audit
from countersign.domain.matter import Response
from countersign.domain.stage import COMPLAINT_DAYS
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import alembic_config, migrate
from countersign.store import initiatives, record
from countersign.store import tables as t
from countersign.store.session import Database
from tests.store.making import Steps

pytestmark = [
    pytest.mark.services,
    # Reflection knows no 64-bit transaction ids; the column's type is ours and is compared as it is written.
    pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'"),
]


async def test_the_migrations_make_just_the_tables_that_the_code_knows(services: Services) -> None:
    await asyncio.to_thread(command.check, alembic_config(services.database_url))


async def _public(database: Database) -> set[str]:
    query = (
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace UNION ALL "
        "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace UNION ALL "
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
    )
    async with database.reading() as connection:
        return set((await connection.scalars(text(query))).all())


async def test_the_migrations_can_be_undone_and_done_again(services: Services) -> None:
    url = await services.postgres.create_database("there-and-back")
    database = Database(url, pool_size=1)
    try:
        empty = await _public(database)
        await migrate(url)
        whole = await _public(database)
        assert {"audit_entry", "event", "refuse_change", "audit_entry_continues"} <= whole
        await asyncio.to_thread(command.downgrade, alembic_config(url), "base")
        assert await _public(database) - empty == {"alembic_version", "alembic_version_pkc"}
        await migrate(url)
        assert await _public(database) == whole
        await migrate(url)
        await asyncio.to_thread(command.check, alembic_config(url))
    finally:
        await database.close()


async def test_what_was_refused_before_may_be_complained_of_for_as_long_as_ever(services: Services) -> None:
    url = await services.postgres.create_database("refused-before")
    database = Database(url, pool_size=1)
    try:
        await migrate(url)
        refused, dismissed, running = Steps(), Steps(), Steps()
        for one in (refused, dismissed, running):
            await one.prepare(database)
            one.begin()
        for one in (refused, dismissed):
            one.all_sign(Response.REFUSE)
        dismissed.complain()
        for one in (refused, dismissed, running):
            for step in one.steps:
                await record.append(database, step)

        async def found() -> list[datetime | None]:
            lives = [
                await initiatives.look_up(database, one.state.id) for one in (refused, dismissed, running)
            ]
            return [one.complaint_until if one else None for one in lives]

        before = await found()
        assert before == [refused.now + timedelta(days=COMPLAINT_DAYS), None, None]
        await asyncio.to_thread(command.downgrade, alembic_config(url), "0010")
        await migrate(url)
        assert await found() == before
    finally:
        await database.close()


@pytest.fixture(scope="module")
async def life(database: Database) -> Steps:
    """Something on record, so that there is what could be changed."""
    steps = Steps()
    steps.begin()
    await steps.prepare(database)
    for step in steps.steps:
        await record.append(database, step)
    return steps


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entry SET actor = 'il/somebody'",
        "UPDATE audit_entry SET actor = actor WHERE false",
        "DELETE FROM audit_entry",
        "TRUNCATE audit_entry CASCADE",
        "TRUNCATE audit_entry, ledger_transaction, ledger_entry, initiative_attachment, log_leaf",
        "TRUNCATE audit_entry, document CASCADE",
        "UPDATE document SET body = '{}'",
        "DELETE FROM document",
        "TRUNCATE document CASCADE",
        "INSERT INTO document SELECT * FROM document ON CONFLICT (content_hash) DO UPDATE SET body = '{}'",
    ],
)
async def test_the_trail_and_the_documents_are_never_changed(
    database: Database, life: Steps, statement: str
) -> None:
    async def content() -> list[object]:
        """Digests of all that stands there: the record of all tests is too long to be fetched."""
        digest = "SELECT md5(string_agg(md5(one::text), '' ORDER BY {})) FROM {} AS one"
        queries = [digest.format("position", "audit_entry"), digest.format("content_hash", "document")]
        async with database.reading() as connection:
            return [await connection.scalar(text(query)) for query in queries]

    before = await content()
    assert None not in before
    with pytest.raises(IntegrityError, match="append-only"):
        async with database.transaction() as connection:
            await connection.execute(text(statement))
    assert await content() == before


@pytest.mark.parametrize(
    ("ahead", "previous"),
    [
        (1, audit.GENESIS),
        (1, "sha256:" + "f" * 64),
        (2, "head"),
        (0, "head"),
        (-100, "head"),
        (-100, audit.GENESIS),
    ],
)
async def test_an_entry_that_does_not_continue_the_trail_is_refused(
    database: Database, life: Steps, ahead: int, previous: str
) -> None:
    entry = audit.seal(
        initiative=life.state.id,
        sequence=life.state.sequence + ahead,
        action="stage.entered",
        actor="il/forger",
        at=life.now,
        body={},
        previous=life.state.head if previous == "head" else previous,
    )
    row = entry.model_dump()
    row["initiative_id"] = row.pop("initiative")
    with pytest.raises(IntegrityError):
        async with database.transaction() as connection:
            await connection.execute(insert(t.audit_entry), row)


async def test_the_first_entry_continues_nothing(database: Database) -> None:
    other = Steps()
    row = audit.seal(
        initiative=other.state.id,
        sequence=1,
        action="stage.entered",
        actor="il/forger",
        at=other.now,
        body={},
        previous="sha256:" + "f" * 64,
    ).model_dump()
    row["initiative_id"] = row.pop("initiative")
    with pytest.raises(IntegrityError, match="does not continue"):
        async with database.transaction() as connection:
            await connection.execute(insert(t.audit_entry), row)
